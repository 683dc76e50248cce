"""Lightning's loop against the plain one, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsam.optim import ASAM, FGSAM, SAM, LookSAM
from tests.optim.engine_problem import BATCHES, EPOCHS, STEPS, Trained, by_closure, loader, loss_of, optimizer, plain
from tests.optim.problems import equal

lightning = pytest.importorskip("lightning")
from lightning.pytorch.plugins import MixedPrecision  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning"),  # of its own use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),  # on machines with many cores
]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]
    """The plain training as a module; ``by_hand`` is a training step of manual optimization."""

    def __init__(self, by_hand: Callable[..., Any] | None = None, **options: Any) -> None:
        super().__init__()
        self.run, self.by_hand, self.options = Trained(), by_hand, options
        self.model, self.automatic_optimization = self.run.model, by_hand is None
        self.outputs: list[float] = []
        self.kept: list[Any] = []

    def configure_optimizers(self) -> Any:
        opt, schedule = optimizer(self.model, **self.options)
        return [opt], [{"scheduler": schedule, "interval": "step"}]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(self.trainer.current_epoch * BATCHES + batch_idx)

    def training_step(self, batch: Any) -> Any:
        if self.by_hand is not None:
            return self.by_hand(self, batch)
        loss = loss_of(self.model, batch)
        self.run.losses.append(loss.item())
        self.log("every", loss, on_step=False, on_epoch=True)
        if not self.optimizers().optimizer.is_perturbed:
            self.log("first", loss, on_step=False, on_epoch=True)
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        self.run.rates.append(optimizer.param_groups[0]["lr"])
        loss = optimizer.step(closure=optimizer_closure)
        self.outputs.append(loss.item())


def fit(module: Module, epochs: int = EPOCHS, checkpoint: Path | None = None, **options: Any) -> Any:
    quiet: Any = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(accelerator="cpu", devices=1, max_epochs=epochs, **quiet, **options)
    trainer.fit(module, loader(), ckpt_path=checkpoint)
    return trainer


def assert_same(module: Module, expected: Trained) -> None:
    assert equal(module.run.state(), expected.state())
    assert module.run.losses == expected.losses
    assert module.run.rates == expected.rates


@pytest.mark.parametrize("kind", [SAM, ASAM, partial(LookSAM, k=2)], ids=["sam", "asam", "looksam"])
def test_automatic_optimization(kind: Any) -> None:
    """Weights, running statistics, learning rates, losses of both passes; Lightning counts each step once."""
    module = Module(kind=kind)
    trainer = fit(module)
    assert trainer.global_step == STEPS
    assert len(module.run.losses) == (STEPS * 3 // 2 if isinstance(kind, partial) else 2 * STEPS)
    assert module.model[1].num_batches_tracked == STEPS
    assert_same(module, plain(kind=kind))


def test_what_is_logged() -> None:
    """``training_step`` runs twice, so a plain ``log`` averages both passes; ``is_perturbed`` tells them apart."""
    module = Module()
    metrics = fit(module, epochs=1).callback_metrics
    first, second = module.run.losses[::2], module.run.losses[1::2]
    assert module.outputs == first  # step() returns the loss at the weights themselves
    torch.testing.assert_close(metrics["first"].item(), sum(first) / BATCHES, rtol=1e-6, atol=0)
    torch.testing.assert_close(metrics["every"].item(), sum(first + second) / BATCHES / 2, rtol=1e-6, atol=0)
    assert not module.trainer.optimizers[0].is_perturbed


def test_gradient_clipping() -> None:
    """Lightning clips in the closure, after each pass. Of the first only the direction counts."""

    def step(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        def closure() -> Tensor:
            opt.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            run.losses.append(loss.item())
            return loss

        opt.step(closure)

    module = Module()
    fit(module, gradient_clip_val=0.05)
    assert_same(module, plain(step))
    assert module.run.losses != plain().losses


def test_bfloat16() -> None:
    def step(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        def closure() -> Tensor:
            opt.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                loss = loss_of(model, batch)
            loss.backward()
            run.losses.append(loss.item())
            return loss

        opt.step(closure)

    module = Module()
    fit(module, precision="bf16-mixed")
    assert_same(module, plain(step))
    assert module.run.losses != plain().losses


def test_accumulation_by_itself_is_refused() -> None:
    """Lightning would run the second pass over the last batch alone."""
    with pytest.raises(RuntimeError, match="adds to gradients computed outside it"):
        fit(Module(), accumulate_grad_batches=2)


def test_accumulation_in_the_closure() -> None:
    def step(module: Module, batch: Any) -> None:
        module.kept.append(batch)
        if len(module.kept) < 2:
            return
        opt = module.optimizers()
        torch.manual_seed(len(module.run.rates))

        def closure() -> None:
            opt.zero_grad()
            for part in module.kept:
                module.manual_backward(loss_of(module.model, part) / 2)

        module.run.rates.append(opt.param_groups[0]["lr"])
        opt.step(closure)
        module.lr_schedulers().step()
        module.kept.clear()

    def joint(opt: Any, model: nn.Module, parts: Any, run: Trained) -> None:
        def closure() -> None:
            opt.zero_grad()
            for part in parts:
                (loss_of(model, part) / 2).backward()

        opt.step(closure)

    module, batches = Module(step), list(loader())
    trainer = fit(module)
    assert trainer.global_step == STEPS // 2
    assert_same(module, plain(joint, [batches[:2], batches[2:]]))


def test_two_closures() -> None:
    """FGSAM: the second closure goes through Lightning's wrapper by name."""

    def peer(model: nn.Module, batch: Any) -> Tensor:
        return loss_of(model, (batch[0].flip(0), batch[1]))

    def step(module: Module, batch: Any) -> None:
        opt = module.optimizers()

        def closure(loss: Callable[..., Tensor]) -> Tensor:
            opt.zero_grad()
            found = loss(module.model, batch)
            module.manual_backward(found)
            return found

        module.run.rates.append(opt.param_groups[0]["lr"])
        loss = opt.step(partial(closure, loss_of), peer_closure=partial(closure, peer))
        module.run.losses.append(loss.item())
        module.lr_schedulers().step()

    def both(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        def closure(loss: Callable[..., Tensor]) -> Tensor:
            opt.zero_grad()
            found = loss(model, batch)
            found.backward()
            return found

        run.losses.append(opt.step(partial(closure, loss_of), partial(closure, peer)).item())

    module = Module(step, kind=FGSAM)
    assert fit(module).global_step == STEPS
    assert_same(module, plain(both, kind=FGSAM))


def passes_by_hand(module: Module, batch: Any) -> None:
    opt = module.optimizers()
    seed = torch.initial_seed()
    opt.zero_grad()
    module.manual_backward(loss_of(module.model, batch))
    torch.manual_seed(seed)
    with opt.optimizer.perturbed():
        module.manual_backward(loss_of(module.model, batch))
    module.run.rates.append(opt.param_groups[0]["lr"])
    opt.step()
    module.lr_schedulers().step()


@pytest.mark.parametrize("kind", [SAM, FGSAM], ids=["sam", "fgsam"])
def test_by_hand(kind: Any) -> None:
    """Lightning's ``step()`` hands over a closure that computes nothing: it ends the step, and counts it."""

    def by_hand(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        seed = torch.initial_seed()
        opt.zero_grad()
        loss_of(model, batch).backward()
        torch.manual_seed(seed)
        with opt.perturbed():
            loss_of(model, batch).backward()
        opt.descend()

    module = Module(passes_by_hand, kind=kind)
    assert fit(module).global_step == STEPS
    assert_same(module, plain(by_hand, kind=kind))


def scaled(module: Module) -> torch.amp.GradScaler:
    """Train as with ``precision="16-mixed"``, for which Lightning wants a GPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    fit(module, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    return scaler


def test_a_scaler_by_hand() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)

    def by_hand(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
        def backward() -> None:
            with torch.autocast("cpu", torch.float16, cache_enabled=False):
                loss = loss_of(model, batch)
            scaler.scale(loss).backward()

        seed = torch.initial_seed()
        opt.zero_grad()
        backward()
        torch.manual_seed(seed)
        with opt.perturbed():
            backward()
        scaler.unscale_(opt)
        scaler.step(opt)
        scaler.update()

    module = Module(passes_by_hand)
    assert scaled(module).get_scale() == 2.0**4
    assert module.trainer.global_step == STEPS
    assert_same(module, plain(by_hand))
    unscaled = Module(passes_by_hand)
    fit(unscaled)
    assert not equal(unscaled.run.state(), module.run.state())


def test_automatic_optimization_with_a_scaler_is_refused() -> None:
    """Lightning calls the closure itself, once, then ``step()``."""
    with pytest.raises(RuntimeError, match="expected an ascent before step"):
        scaled(Module())


@pytest.mark.parametrize("kind", [SAM, partial(LookSAM, k=3)], ids=["sam", "looksam"])
def test_resume(kind: Any, tmp_path: Path) -> None:
    """From the trainer's own file, training goes on bit for bit."""
    whole, half, rest = (Module(kind=kind) for _ in range(3))
    trainer = fit(whole)
    fit(half, epochs=1).save_checkpoint(tmp_path / "half.ckpt")
    resumed = fit(rest, checkpoint=tmp_path / "half.ckpt")
    assert equal(rest.run.state(), whole.run.state())
    assert rest.run.rates == whole.run.rates[BATCHES:]
    assert equal(resumed.optimizers[0].state_dict(), trainer.optimizers[0].state_dict())
    assert resumed.global_step == STEPS


def test_plain_loop_is_an_oracle() -> None:
    """It trains: without this, two runs that do nothing would be equal."""
    run = plain(by_closure)
    assert len(run.losses) == 2 * STEPS
    assert not equal(run.state(), Trained().state())
