"""Knowledge-graph models under ``torch.compile`` and under autocast: scores, gradients, training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from gsam.kg import KG_MODELS, train
from gsam.kg.batches import Batch
from gsam.kg.limits import constrain
from gsam.kg.losses import LossOptions
from gsam.kg.negatives import Negatives
from gsam.kg.objective import Objective, Sampling
from gsam.kg.schedule import TrainingSchedule
from gsam.kg.triples import with_reciprocals
from gsam.manifolds import manifold_groups
from gsam.optim.recipes import recipe
from tests.kg.toy_graph import SIZE, toy_graph

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
HALF = (torch.bfloat16, torch.float16)
OURS = ("hybonet", "murp", "mure", "roth", "refh", "atth")
per_model = pytest.mark.parametrize("name", OURS)
#: one model of each file; tracing them takes seconds each
per_file = pytest.mark.parametrize("name", ["hybonet", "murp", "roth"])
per_half = pytest.mark.parametrize("half", HALF, ids=str)


@pytest.fixture(autouse=True)
def _forget_compiled_code() -> Iterator[None]:
    """Of the methods that many models share."""
    yield
    torch.compiler.reset()


def autocast(half: torch.dtype | None) -> Any:
    return nullcontext() if half is None else torch.autocast("cpu", dtype=half)


def spread(name: str, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """A model whose points are some way off the origin, where differences cancel."""
    torch.manual_seed(0)
    model = KG_MODELS[name](SIZE, 8, 6, **options).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    if name in OURS:
        model.constrain()
    return model


@functools.cache
def a_batch(negatives: str = "shared") -> tuple[Batch, Negatives, int]:
    triples = with_reciprocals(toy_graph().train, 4)
    batches, sampler = Sampling(batch_size=64, num_negatives=20, negatives=negatives).build(triples, SIZE, 8)
    batch = next(iter(batches.epoch()))
    return batch, sampler.draw(batch), sampler.count


def losses_of(model: Any, negatives: str = "shared") -> Callable[[], Tensor]:
    batch, drawn, count = a_batch(negatives)
    objective = Objective(model, LossOptions(), count=count)
    return lambda: objective.losses(batch, drawn)


def with_gradients(model: Any, losses: Callable[[], Tensor], half: torch.dtype | None = None) -> list[Tensor]:
    with autocast(half):
        found = losses()
    gradients = torch.autograd.grad(found.sum(), list(model.parameters()), allow_unused=True)
    return [found.detach(), *(g for g in gradients if g is not None)]


# -- autocast ---------------------------------------------------------------------------------------------------------


@per_half
@per_model
def test_autocast_changes_nothing(name: str, half: torch.dtype) -> None:
    """Losses and gradients, bit for bit: every product of matrices, too, is taken in float32."""
    model = spread(name)
    for negatives in ("shared", "per-triple", "all"):
        losses = losses_of(model, negatives)
        found, expected = with_gradients(model, losses, half), with_gradients(model, losses)
        assert found[0].dtype == torch.float32
        assert all(map(torch.equal, found, expected))
    head = torch.arange(8)
    with autocast(half):
        scores = model(head, head % 8, head + 3)
    assert torch.equal(scores, model(head, head % 8, head + 3))


def trained(
    name: str, optimizer: str, half: torch.dtype | None, *, scaled: bool = False, steps: int = 5
) -> list[Tensor]:
    model = spread(name)
    opt: Any = recipe(optimizer).build(manifold_groups(model), lr=0.01, rho=0.3, per="row")
    losses = losses_of(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=scaled)

    def closure() -> Tensor:
        opt.zero_grad()
        with autocast(half):
            loss = losses().mean()
        scaler.scale(loss).backward()
        return loss.detach()

    for _ in range(steps):
        opt.step(closure, scaler=scaler)
        scaler.update()
        constrain(model, opt, None)
    assert opt.skipped_steps == 0
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(("half", "scaled"), [(torch.bfloat16, False), (torch.float16, True)], ids=["bf16", "fp16"])
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("hybonet", "lorentz-sam"), ("hybonet", "lorentz-sam-chart"), ("murp", "rsam"), ("roth", "rsam")],
)
def test_training_under_autocast_is_the_same(name: str, optimizer: str, half: torch.dtype, scaled: bool) -> None:
    """With a scaler to the rounding of its powers of two, which Adam's epsilon sees; without one bit for bit."""
    found, expected = (trained(name, optimizer, h, scaled=s) for h, s in ((half, scaled), (None, False)))
    if scaled:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    else:
        assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("name", ["hybonet", "murp"])
def test_the_whole_loop_inside_autocast(name: str) -> None:
    """Backward passes too are then in half precision, which torch advises against: near, and on the manifold."""
    losses = {}
    for half in (None, torch.bfloat16):
        torch.manual_seed(0)
        model: Any = KG_MODELS[name](SIZE, 8, 6)
        optimizer = recipe("lorentz-sam" if name == "hybonet" else "rsam").build(
            manifold_groups(model), lr=0.05, rho=0.1, per="row"
        )
        schedule = TrainingSchedule(epochs=6, validate_every=6)
        with autocast(half):
            history = train(model, toy_graph(), optimizer, sampling=Sampling(64, num_negatives=10), schedule=schedule)
        assert history.skipped_steps == 0
        losses[half] = torch.tensor(history.epoch_loss)
        points = model.node_emb.weight
        assert points.manifold.check_point_on_manifold(points, atol=1e-5, rtol=0)
    assert losses[torch.bfloat16].isfinite().all()
    assert losses[torch.bfloat16][-1] < losses[torch.bfloat16][0] - 0.1
    torch.testing.assert_close(losses[torch.bfloat16], losses[None], rtol=0.05, atol=0.02)


# -- torch.compile ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("negatives", ["shared", "per-triple"])
@per_file
def test_a_compiled_loss(name: str, negatives: str) -> None:
    """What the training loop computes, as one graph: values and gradients."""
    model = spread(name, torch.float64)
    losses = losses_of(model, negatives)
    compiled = torch.compile(losses, fullgraph=True, backend="aot_eager")
    found, expected = with_gradients(model, compiled), with_gradients(model, losses)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@per_file
def test_a_compiled_model(name: str) -> None:
    """``forward``, and PyG's ``loss``, whose corrupted triples are drawn as without the compiler."""
    model = spread(name, torch.float64)
    head, relation = torch.arange(12), torch.arange(12) % 8
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(
        compiled(head, relation, head + 5), model(head, relation, head + 5), rtol=1e-10, atol=1e-12
    )
    loss = torch.compile(model.loss, backend="aot_eager")
    torch.manual_seed(3)
    found = loss(head, relation, head + 5)
    torch.manual_seed(3)
    torch.testing.assert_close(found, model.loss(head, relation, head + 5), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["lorentz-sam", "radam"])
def test_training_with_a_compiled_loss(optimizer: str) -> None:
    """Several steps in float64, Riemannian optimizers around compiled losses: the same weights, on the manifold.

    ``benchmarks/bench_compile.py`` does the same with the default backend, which takes a minute to compile.
    """
    found = []
    for compile_it in (True, False):
        model = spread("hybonet", torch.float64)
        options = {"rho": 0.3, "per": "row"} if optimizer == "lorentz-sam" else {}
        opt: Any = recipe(optimizer).build(manifold_groups(model), lr=0.01, **options)
        losses = torch.compile(losses_of(model), backend="aot_eager") if compile_it else losses_of(model)

        def closure(opt: Any = opt, losses: Any = losses) -> Tensor:
            opt.zero_grad()
            loss = losses().mean()
            loss.backward()
            return loss

        for _ in range(4):
            opt.step(closure)
        points = model.node_emb.weight
        assert points.manifold.check_point_on_manifold(points, atol=1e-12, rtol=0)
        found.append([p.detach() for p in model.parameters()])
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-8)
