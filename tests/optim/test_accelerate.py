"""accelerate's loop against the plain one, bit for bit."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsam.optim import ASAM, FGSAM, SAM, LookSAM
from tests.optim.engine_problem import EPOCHS, STEPS, Trained, by_closure, loader, loss_of, network, optimizer, plain
from tests.optim.problems import Problem, equal

accelerate = pytest.importorskip("accelerate")
from accelerate.optimizer import AcceleratedOptimizer  # noqa: E402
from accelerate.state import AcceleratorState, GradientState  # noqa: E402


def forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def engine() -> Iterator[Callable[..., Any]]:
    """Makes an ``Accelerator``; its state is global, so it is forgotten before and after."""
    forget()
    yield partial(accelerate.Accelerator, cpu=True)
    forget()


def train(engine: Any, step: Callable[..., None], seeds: range = range(STEPS), **options: Any) -> Trained:
    """The loop of the plain training, with everything prepared."""
    run = Trained()
    opt, schedule = optimizer(run.model, **options)
    model, opt, batches, schedule = engine.prepare(run.model, opt, loader(), schedule)
    for number, batch in zip(seeds, (batch for _ in range(EPOCHS) for batch in batches), strict=True):
        torch.manual_seed(number)
        with engine.accumulate(model):
            step(engine, opt, model, batch, run)
            if engine.sync_gradients:
                run.rates.append(opt.param_groups[0]["lr"])
            schedule.step()
    return run


def closure_step(engine: Any, opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
    def closure() -> Tensor:
        opt.zero_grad()
        loss = loss_of(model, batch)
        engine.backward(loss)
        run.losses.append(loss.item())
        return loss

    assert opt.step(closure) is None  # the wrapper drops the loss, as docs/loops.md says


def assert_same(found: Trained, expected: Trained) -> None:
    assert equal(found.state(), expected.state())
    assert found.losses == expected.losses
    assert found.rates == expected.rates


@pytest.mark.parametrize("kind", [SAM, ASAM, partial(LookSAM, k=2)], ids=["sam", "asam", "looksam"])
def test_a_closure(engine: Callable[..., Any], kind: Any) -> None:
    """Weights, running statistics, learning rates, and the losses of the two passes of each step."""
    found = train(engine(), closure_step, kind=kind)
    assert len(found.losses) == (STEPS * 3 // 2 if isinstance(kind, partial) else 2 * STEPS)
    assert found.model[1].num_batches_tracked == STEPS
    assert_same(found, plain(kind=kind))


def test_bfloat16(engine: Callable[..., Any]) -> None:
    def step(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        def closure() -> Tensor:
            opt.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                out = model(batch[0])
            loss = nn.functional.cross_entropy(out.float(), batch[1])
            loss.backward()
            run.losses.append(loss.item())
            return loss

        opt.step(closure)

    found = train(engine(mixed_precision="bf16"), closure_step)
    assert_same(found, plain(step))
    assert found.losses != plain().losses


def test_by_hand_with_clipping(engine: Callable[..., Any]) -> None:
    def step(engine: Any, opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        opt.zero_grad()
        engine.backward(loss_of(model, batch))
        torch.manual_seed(len(run.losses))
        with opt.optimizer.perturbed():
            engine.backward(loss_of(model, batch))
        run.losses.append(float(engine.clip_grad_norm_(model.parameters(), 0.05)))
        opt.step()

    def by_hand(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        opt.zero_grad()
        loss_of(model, batch).backward()
        torch.manual_seed(len(run.losses))
        with opt.perturbed():
            loss_of(model, batch).backward()
        run.losses.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.05)))
        opt.descend()

    found = train(engine(), step)
    assert min(found.losses) > 0.05  # clipped
    assert_same(found, plain(by_hand))


def test_accumulation(engine: Callable[..., Any]) -> None:
    """Both passes run over all that is accumulated, and the schedule moves once for it."""
    kept: list[Any] = []

    def step(engine: Any, opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        kept.append(batch)
        if engine.sync_gradients:
            torch.manual_seed(len(run.rates))

            def closure() -> None:
                opt.zero_grad()
                for part in kept:
                    engine.backward(loss_of(model, part))

            opt.step(closure)
            kept.clear()

    def joint(opt: Any, model: nn.Module, parts: Any, run: Trained) -> None:
        def closure() -> None:
            opt.zero_grad()
            for part in parts:
                (loss_of(model, part) / 2).backward()

        opt.step(closure)

    batches = list(loader())
    found = train(engine(gradient_accumulation_steps=2), step)
    assert_same(found, plain(joint, [batches[:2], batches[2:]]))
    assert len(found.rates) == STEPS // 2


def test_a_closure_of_one_batch_is_not_called_for_the_others(engine: Callable[..., Any]) -> None:
    """Why docs/loops.md tells to loop inside: accelerate drops the closures of all batches but the last."""
    found = train(engine(gradient_accumulation_steps=2), closure_step)
    assert len(found.losses) == STEPS  # two passes in every other step
    assert found.model[1].num_batches_tracked == STEPS // 2


@pytest.mark.parametrize("by_hand", [False, True])
def test_fgsam(engine: Callable[..., Any], by_hand: bool) -> None:
    """Two closures go to the optimizer itself; by hand the wrapper is enough."""
    found, expected = Problem(dtype=torch.float32), Problem(dtype=torch.float32)
    opt = engine().prepare(FGSAM(found.params, torch.optim.Adam, lr=0.1, rho=0.3))
    other = FGSAM(expected.params, torch.optim.Adam, lr=0.1, rho=0.3)
    for _ in range(3):
        if by_hand:
            found.closure(opt)()
            with opt.optimizer.perturbed():
                found.closure(opt, graph=False)()
            opt.step()
        else:
            loss = opt.optimizer.step(found.closure(opt), found.closure(opt, graph=False))
            assert loss is not None
        expected.step(other, peer=True)
    assert equal(found.weights(), expected.weights())


def test_save_and_load_state(engine: Callable[..., Any], tmp_path: Path) -> None:
    """Through the folder that accelerate writes, training goes on bit for bit."""
    runs = [Trained(network()) for _ in range(2)]
    engines = [engine() for _ in runs]
    parts = []
    for run, each in zip(runs, engines, strict=True):
        opt, schedule = optimizer(run.model, kind=partial(LookSAM, k=3))
        parts.append((*each.prepare(run.model, opt, schedule), list(loader())))

    def steps(which: int, numbers: range) -> None:
        model, opt, schedule, batches = parts[which]
        for number in numbers:
            torch.manual_seed(number)
            closure_step(engines[which], opt, model, batches[number % len(batches)], runs[which])
            schedule.step()

    steps(0, range(4))
    engines[0].save_state(str(tmp_path))
    steps(0, range(4, 8))
    engines[1].load_state(str(tmp_path))
    assert parts[1][1].optimizer.steps_taken == 4
    steps(1, range(4, 8))
    assert equal(runs[0].state(), runs[1].state())
    assert equal(parts[0][1].state_dict(), parts[1][1].state_dict())


def test_a_scaler_by_hand(engine: Callable[..., Any]) -> None:
    """As for ``mixed_precision="fp16"``, which needs a GPU; this puts the scaler there itself."""
    engine()
    found, expected = Problem(), Problem()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    opt = AcceleratedOptimizer(SAM(found.params, torch.optim.SGD, lr=0.1, rho=0.3), scaler=scaler)
    other = SAM(expected.params, torch.optim.SGD, lr=0.1, rho=0.3)
    for overflows in (False, True, False):
        opt.zero_grad()
        scaler.scale(found.loss()).backward()
        with opt.optimizer.perturbed():
            scaler.scale(found.loss()).backward()
        if overflows:
            found.params[0].grad[0] = torch.inf
        opt.step()
        assert opt.step_was_skipped == overflows
        if not overflows:
            expected.step(other)
        assert equal(found.weights(), expected.weights())


def test_a_closure_under_a_scaler_is_refused(engine: Callable[..., Any]) -> None:
    """By torch: the scaler looks for gradients before it would call anything."""
    engine()
    problem = Problem()
    opt = AcceleratedOptimizer(
        SAM(problem.params, torch.optim.SGD, lr=0.1), scaler=torch.amp.GradScaler("cpu", init_scale=4.0)
    )
    with pytest.raises(AssertionError, match="Attempted step"):
        opt.step(problem.closure(opt))
    assert problem.calls == []


def test_plain_loop_is_an_oracle() -> None:
    """It trains: without this, two runs that do nothing would be equal."""
    run = plain(by_closure)
    assert len(run.losses) == 2 * STEPS
    assert not equal(run.state(), Trained().state())
    assert run.losses[-2] < run.losses[0] < run.losses[1]  # the second pass is uphill


def on_one_of_two(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    engine = accelerate.Accelerator(cpu=True, step_scheduler_with_optimizer=False)
    model = bare()
    opt, schedule = optimizer(model)
    prepared, opt, batches, schedule = engine.prepare(model, opt, loader(), schedule)
    run = Trained(model)
    for batch in batches:
        closure_step(engine, opt, prepared, batch, run)
        schedule.step()
    torch.save(run.state(), Path(folder) / f"{rank}.pt")
    engine.end_training()


def bare() -> nn.Module:
    """Without what depends on the other samples of a process, or on its random numbers."""
    return nn.Sequential(*(part for part in network() if not isinstance(part, (nn.BatchNorm1d, nn.Dropout)))).double()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Each takes every other batch; the step is that on both together."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(on_one_of_two, (port, str(tmp_path)), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert equal(found[0], found[1])
    alone = Trained(bare())
    opt, schedule = optimizer(alone.model)
    batches = list(loader())
    for pair in zip(batches[::2], batches[1::2], strict=True):
        by_closure(opt, alone.model, [torch.cat(parts) for parts in zip(*pair, strict=True)], alone)
        schedule.step()
    torch.testing.assert_close(found[0], alone.state(), rtol=1e-9, atol=1e-9)
    assert not equal(alone.state(), Trained(bare()).state())
