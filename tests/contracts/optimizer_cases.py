"""The table of two-pass optimizers that the contract suites run on, and what these suites share.

A new public subclass of ``SharpnessAware`` needs a case here (a test checks that it has one).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn.norm import HeteroBatchNorm

from gsam.optim import (
    AESAM,
    ASAM,
    ESAM,
    FGSAM,
    MSAM,
    SAM,
    Adaptive,
    Euclidean,
    FGSAMPlus,
    Fisher,
    FisherSAM,
    LookSAM,
    LorentzSAM,
    Riemannian,
    RiemannianAdam,
    RiemannianSAM,
    SharpnessAware,
)
from tests.optim.problems import Problem

RHO = 0.3
Passes = tuple[tuple[str, ...], ...]


def _masks(params: list[nn.Parameter]) -> None:
    """The random numbers ESAM takes for its masks."""
    for param in params:
        torch.rand(param.shape)


@dataclass(frozen=True)
class Case:
    """One optimizer with its options, and the closures its steps call.

    Attributes:
        label: name of the case.
        kind: the class.
        options: beside ``rho`` and those of the base.
        peer: whether ``step`` takes a peer closure.
        passes: closures called in the successive steps (repeated).
        by_hand: whether ``perturbed()`` is offered.
        like: the optimizer that this one equals bit for bit.
        draw: takes the random numbers that the ascent takes from torch's generator.
        selects: whether it selects samples by their losses, so that rounding can change the gradient at one blow.
        scale_free: whether a loss that is scaled by hand gives the same step without more ado.
    """

    label: str
    kind: type[SharpnessAware]
    options: Callable[[], dict[str, Any]] = field(default=dict)
    peer: bool = False
    passes: Passes = (("gnn", "gnn"),)
    by_hand: bool = True
    like: type[SharpnessAware] | None = None
    draw: Callable[[list[nn.Parameter]], None] | None = None
    selects: bool = False
    scale_free: bool = True

    def __str__(self) -> str:
        return self.label

    def build(self, params: Any, base: Any = torch.optim.SGD, **options: Any) -> SharpnessAware:
        if not isinstance(base, torch.optim.Optimizer):
            options.setdefault("lr", 0.1)
        return self.kind(params, base, **{"rho": RHO, **self.options(), **options})

    def called(self, t: int) -> tuple[str, ...]:
        """The closures that step ``t`` calls."""
        return self.passes[t % len(self.passes)]

    def perturbed(self, t: int) -> int:
        """How many of them run at perturbed weights."""
        return len(self.called(t)) // 2


def _policy(threshold: float) -> Callable[[], dict[str, Any]]:
    return lambda: {"total_steps": 20, "lambda1": threshold, "lambda2": threshold}


_PLUS: Passes = (("gnn", "peer", "peer"), ("peer",))
_LOOK: Passes = (("gnn", "gnn"), ("gnn",))
_FGSAM: Passes = (("gnn", "peer"),)
CASES = [
    Case("core-euclidean", SharpnessAware, lambda: {"geometry": Euclidean()}),
    Case("core-adaptive", SharpnessAware, lambda: {"geometry": Adaptive(0.01)}),
    Case("sam", SAM),
    Case("sam-adaptive", SAM, lambda: {"adaptive": True}),
    Case("asam", ASAM, lambda: {"eta": 0.01}),
    Case("fgsam", FGSAM, peer=True, passes=_FGSAM),
    Case("fgsam-released", FGSAM, lambda: {"variant": "released", "lam": 0.3}, True, _FGSAM),
    Case("fgsam+", FGSAMPlus, lambda: {"k": 2}, True, _PLUS, False),
    Case("fgsam+-released", FGSAMPlus, lambda: {"variant": "released", "k": 2}, True, _PLUS, False),
    Case("fgsam+-k1", FGSAMPlus, lambda: {"k": 1}, True, _FGSAM, False, FGSAM),
    Case("fgsam+-k3", FGSAMPlus, lambda: {"k": 3, "lam": 0.5}, True, (*_PLUS, ("peer",)), False),
    Case("looksam", LookSAM, lambda: {"k": 2}, passes=_LOOK, by_hand=False),
    Case("looksam-k1", LookSAM, lambda: {"k": 1}, like=SAM),
    Case("ae-sam", AESAM, lambda: {"total_steps": 20, "lambda1": 1.0, "lambda2": -3.0}, by_hand=False),
    Case("ae-sam-always", AESAM, _policy(-math.inf), by_hand=False, like=SAM),
    Case("ae-sam-never", AESAM, _policy(math.inf), passes=(("gnn",),), by_hand=False),
    Case("esam", ESAM, by_hand=False, draw=_masks, selects=True),
    Case("esam-beta1", ESAM, lambda: {"beta": 1.0, "gamma": 0.3}, by_hand=False, selects=True),
    Case("esam-sam", ESAM, lambda: {"beta": 1.0, "gamma": 1.0}, like=SAM),
    Case("msam", MSAM, passes=(("gnn",) * 4,), by_hand=False),
    Case("msam-m1", MSAM, lambda: {"m": 1}, like=SAM),
    Case("core-fisher", SharpnessAware, lambda: {"geometry": Fisher(3.0)}, scale_free=False),
    Case("fisher-sam", FisherSAM, lambda: {"eta": 100.0}, scale_free=False),
    Case("fisher-sam-eta0", FisherSAM, lambda: {"eta": 0.0}, like=SAM),
    Case("core-riemannian", SharpnessAware, lambda: {"geometry": Riemannian()}, like=SAM),
    Case("riemannian-sam", RiemannianSAM, like=SAM),
    Case("riemannian-sam-parameter", RiemannianSAM, lambda: {"per": "parameter"}),
    Case("riemannian-sam-row", RiemannianSAM, lambda: {"per": "row", "transport": False}),
    Case("lorentz-sam", LorentzSAM, like=SAM),
    Case("lorentz-sam-row", LorentzSAM, lambda: {"per": "row"}),
]
BY_HAND = [case for case in CASES if case.by_hand]
#: every pass of every distinct step, at first and once there is a state, as (case, steps taken before, number)
PASSES = [
    pytest.param(case, t, number, id=f"{case}-step{t}-pass{number}")
    for case in CASES
    for t in range(2 * len(case.passes))
    for number in range(len(case.called(t)))
]
BASES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adam-fused": (torch.optim.Adam, {"lr": 0.01, "fused": True}),
    "adamw-amsgrad": (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    "sgd-momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "geoopt-adam": (geoopt.optim.RiemannianAdam, {"lr": 0.01}),
    "riemannian-adam": (RiemannianAdam, {"lr": 0.01, "amsgrad": True}),
}


class RebindingNorm(nn.Module):
    """A norm that is no torch norm, counts its calls, and replaces its buffer instead of changing it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        self.calls += 1
        return x - x.mean(0)


class TypedNorm(nn.Module):
    """PyG's per-type batch norm, which is no torch ``_BatchNorm``."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = HeteroBatchNorm(8, num_types=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x, torch.arange(len(x)) % 2)


NORMS: dict[str, Callable[[], nn.Module]] = {
    "batch-norm": lambda: nn.BatchNorm1d(8),
    "cumulative": lambda: nn.BatchNorm1d(8, momentum=None),
    "hetero": TypedNorm,
    "rebinding": RebindingNorm,
}


def named(label: str) -> Case:
    (found,) = (case for case in CASES if case.label == label)
    return found


def advance(case: Case, problem: Problem, opt: SharpnessAware, steps: int, *, seed: int | None = 0) -> None:
    """Take steps, with the same random numbers whenever the seed is the same; ``None`` goes on with what comes next."""
    if seed is not None:
        torch.manual_seed(seed)
    for _ in range(steps):
        problem.step(opt, peer=case.peer)


def through_file(state: dict[str, Any]) -> dict[str, Any]:
    """Save and load as users do, with the safe unpickler."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def poison(problem: Problem, number: int, value: float) -> None:
    """Spoil one entry of one gradient in one pass."""

    def after(done: int) -> None:
        if done == number:
            problem.params[2].grad.view(-1)[1] = value

    problem.after = after
