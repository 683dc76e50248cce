"""Every named optimizer trains a graph network with batch norm under autocast: bf16, and fp16 with a ``GradScaler``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsam.nn import PeerMLP
from gsam.nodes import build_model
from gsam.optim import ESAM, SharpnessAware
from gsam.optim.recipes import RECIPES, Recipe

N, STEPS = 40, 12
per_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
per_two_pass = pytest.mark.parametrize(
    "recipe", [r for r in RECIPES.values() if r.wrapper is not None], ids=lambda recipe: recipe.name
)


class Counting(torch.amp.GradScaler):
    """Counts what is asked of it in a step; its scale is high enough to matter in float16."""

    def __init__(self) -> None:
        super().__init__("cpu", init_scale=2.0**10, growth_interval=10**6)
        self.scaled = self.unscaled = 0

    def scale(self, outputs: Any) -> Any:
        self.scaled += 1
        return super().scale(outputs)

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        self.unscaled += 1
        super().unscale_(optimizer)


class Training:
    """A GCN with batch norm and its peer on features that tell the classes, under autocast or not."""

    def __init__(self, recipe: Recipe, half: torch.dtype | None, scaler: Any = None, lr: float = 0.02) -> None:
        torch.manual_seed(0)
        self.half, self.scaler, self.passes = half, scaler, 0
        self.y = torch.arange(N) % 3
        self.x = nn.functional.one_hot(self.y, 6).float() + 0.5 * torch.randn(N, 6)
        same = torch.randint(N, (4 * N,))
        self.edges = torch.stack([same, (same + 3 * torch.randint(N, (4 * N,))) % N])
        self.model = build_model("gcn", 6, 3, hidden=16, dropout=0.0, norm="batch")
        self.peer = PeerMLP(self.model)
        self.opt: Any = recipe.build(self.model.parameters(), lr=lr, total_steps=STEPS)
        runs = {"graph": [self.graph], "peer": [self.features], "both": [self.graph, self.features]}[recipe.passes]
        self.closures = [self.closure(run) for run in runs]
        self.spoil: Callable[[int], bool] = lambda number: False

    def graph(self) -> Tensor:
        out: Tensor = self.model(self.x, self.edges)
        return out

    def features(self) -> Tensor:
        out: Tensor = self.peer(self.x)
        return out

    def closure(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            self.opt.zero_grad()
            with torch.autocast("cpu", dtype=self.half or torch.bfloat16, enabled=self.half is not None):
                losses = nn.functional.cross_entropy(run(), self.y, reduction="none")
                loss: Tensor = getattr(self.opt, "reduce", torch.mean)(losses)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            if self.spoil(self.passes):
                next(self.model.parameters()).grad[0] = math.inf
            self.passes += 1
            return loss.detach().float()

        return closure

    def step(self) -> float:
        self.passes = 0
        if self.scaler is None:
            return float(self.opt.step(*self.closures))
        if isinstance(self.opt, SharpnessAware):
            loss = self.opt.step(*self.closures, scaler=self.scaler)
        else:
            loss = self.closures[0]()
            self.scaler.step(self.opt)
        self.scaler.update()
        return float(loss)

    def gradient(self) -> Tensor:
        return torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None])

    def weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@per_recipe
def test_trains_like_float32(recipe: Recipe, half: torch.dtype) -> None:
    """The first gradient that the base gets is float32's to the precision of the dtype; then the loss falls alike."""
    scaler = Counting() if half == torch.float16 else None
    low, single = Training(recipe, half, scaler), Training(recipe, None)
    losses = [(low.step(), single.step())]
    assert low.gradient().dtype == torch.float32
    if recipe.wrapper is not ESAM:  # whose second pass takes the samples whose loss rose most, of those that are close
        error = (low.gradient() - single.gradient()).norm() / single.gradient().norm()
        assert 0 < error < 24 * torch.finfo(half).eps
    for _ in range(STEPS - 1):
        if scaler is not None:
            scaler.scaled = scaler.unscaled = 0
        losses.append((low.step(), single.step()))
        if scaler is not None:
            assert scaler.scaled == low.passes
            assert scaler.unscaled == 1 or recipe.wrapper is None  # the scaler lets fused Adam unscale by itself
    found, expected = torch.tensor(losses).T
    assert found.isfinite().all()
    assert found[-1] < found[0]
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03)
    assert getattr(low.opt, "skipped_steps", 0) == 0
    assert scaler is None or scaler.get_scale() == 2.0**10


@pytest.mark.parametrize("number", [0, 1])
@per_two_pass
def test_overflow_in_either_pass_skips_the_step(recipe: Recipe, number: int) -> None:
    """Nothing moves, not even a running statistic of the second pass, and the scale is halved."""
    scaler = Counting()
    training = Training(recipe, torch.float16, scaler)
    training.spoil = lambda done: done == number
    before = training.weights()
    training.step()
    spoilt = training.passes > number  # not every step of every variant has a second pass
    assert spoilt or recipe.name in ("ae-sam",)
    assert torch.equal(training.weights(), before) == spoilt
    assert (training.opt.skipped_steps, scaler.get_scale()) == ((1, 2.0**9) if spoilt else (0, 2.0**10))
    training.spoil = lambda done: False
    training.step()
    assert training.opt.skipped_steps == int(spoilt)
    assert not torch.equal(training.weights(), before)
