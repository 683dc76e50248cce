"""Optimizers by name, as the command line and the benchmarks call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from gsam.optim.ae_sam import AESAM
from gsam.optim.bases import check_manifolds
from gsam.optim.chart_adam import ChartAdam
from gsam.optim.checks import check_kind
from gsam.optim.esam import ESAM
from gsam.optim.fgsam import FGSAM
from gsam.optim.fgsam_plus import FGSAMPlus
from gsam.optim.fisher_sam import FisherSAM
from gsam.optim.looksam import LookSAM
from gsam.optim.lorentz_sam import LorentzSAM
from gsam.optim.msam import MSAM
from gsam.optim.riemannian_adam import RiemannianAdam
from gsam.optim.riemannian_sam import RiemannianSAM
from gsam.optim.riemannian_sgd import RiemannianSGD
from gsam.optim.sam import ASAM, SAM
from gsam.optim.sharpness_aware import Closure, SharpnessAware

Passes = Literal["graph", "peer", "both"]


@dataclass(frozen=True)
class Recipe:
    """How a named optimizer is built and fed.

    Attributes:
        name: as in ``--optimizer``.
        passes: which closures a step takes: the GNN's (``"graph"``), the peer MLP's (``"peer"``), or both.
        base: the optimizer that makes the descent step.
        wrapper: the sharpness-aware optimizer around it, or ``None``.
        options: the wrapper's hyper-parameters and their defaults.
        needs_total_steps: whether the wrapper must know how many steps the training takes.
    """

    name: str
    passes: Passes
    base: type[torch.optim.Optimizer] = torch.optim.Adam
    wrapper: type[SharpnessAware] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_total_steps: bool = False

    def hyperparameters(self, **chosen: Any) -> dict[str, Any]:
        """The options with the chosen values in place of defaults; ``None`` means not chosen.

        Raises:
            ValueError: a chosen option is not one of this optimizer's, or of another type than its default.
        """
        given = {name: value for name, value in chosen.items() if value is not None}
        unknown = sorted(set(given) - set(self.options))
        if unknown:
            takes = ", ".join(self.options) or "none"
            raise ValueError(f"expected options of the optimizer {self.name!r} ({takes}), found {', '.join(unknown)}")
        for name, value in given.items():
            check_kind(name, value, self.options[name])
        return {**self.options, **given}

    def build(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        weight_decay: float = 0.0,
        total_steps: int | None = None,
        **chosen: Any,
    ) -> torch.optim.Optimizer:
        """Make the optimizer over ``params``.

        Args:
            params: parameters or parameter groups; a group's ``"manifold"`` is where its parameters live.
            lr: learning rate of the base.
            weight_decay: its weight decay.
            total_steps: number of steps of the whole training, for the wrappers that need it; others ignore it.
            **chosen: as in :meth:`hyperparameters`.

        Raises:
            ValueError: a chosen option is not one of this optimizer's, ``total_steps`` is needed and missing, the base
                has no weight decay, or its steps would leave the manifold of a parameter.
        """
        options = self.hyperparameters(**chosen)
        if self.needs_total_steps:
            if total_steps is None:
                raise ValueError(
                    f"expected total_steps for the optimizer {self.name!r}, found none; "
                    "pass build(..., total_steps=<the number of steps of the whole training>)"
                )
            options["total_steps"] = total_steps
        base_options = self._base_options(lr, weight_decay)
        if self.wrapper is None:
            made = base = self.base(params, **base_options)
        else:
            made = self.wrapper(params, self.base, **options, **base_options)
            base = made.base
        for group in base.param_groups:
            check_manifolds(base, group)
        return made

    def _base_options(self, lr: float, weight_decay: float) -> dict[str, Any]:
        options: dict[str, Any] = {"lr": lr}
        if "weight_decay" in inspect.signature(self.base).parameters:
            options["weight_decay"] = weight_decay
        elif weight_decay:
            raise ValueError(
                f"expected weight_decay = 0 for the optimizer {self.name!r}, found {weight_decay}: "
                f"{self.base.__name__} has none"
            )
        if self.base in (torch.optim.Adam, torch.optim.AdamW):
            options["fused"] = True  # one kernel for the whole update, on CPU too
        return options

    def step(self, optimizer: torch.optim.Optimizer, closure: Closure, peer_closure: Closure) -> Any:
        """Take one step with the closures this optimizer needs and return its loss."""
        take: Callable[..., Any] = optimizer.step
        if self.passes == "both":
            return take(closure, peer_closure)
        return take(closure if self.passes == "graph" else peer_closure)


_AE_SAM = {"rho": 0.05, "lambda1": -1.0, "lambda2": 1.0, "decay": 0.9}
_RIEMANNIAN = {"rho": 0.05, "transport": True, "per": "all"}
RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("adam", "graph"),
        Recipe("adamw", "graph", torch.optim.AdamW),
        Recipe("sgd", "graph", torch.optim.SGD),
        Recipe("adagrad", "graph", torch.optim.Adagrad),
        Recipe("radam", "graph", RiemannianAdam),
        Recipe("rsgd", "graph", RiemannianSGD),
        Recipe("chart-adam", "graph", ChartAdam),
        Recipe("sam", "graph", wrapper=SAM, options={"rho": 0.05}),
        Recipe("asam", "graph", wrapper=ASAM, options={"rho": 0.5}),
        Recipe("esam", "graph", wrapper=ESAM, options={"rho": 0.05, "beta": 0.6, "gamma": 0.5}),
        Recipe("looksam", "graph", wrapper=LookSAM, options={"rho": 0.05, "alpha": 0.7, "k": 5}),
        Recipe("ae-sam", "graph", wrapper=AESAM, options=_AE_SAM, needs_total_steps=True),
        Recipe("msam", "graph", wrapper=MSAM, options={"rho": 0.05, "m": 2}),
        Recipe("fisher-sam", "graph", wrapper=FisherSAM, options={"rho": 0.05, "eta": 1.0}),
        Recipe("rsam", "graph", RiemannianAdam, RiemannianSAM, _RIEMANNIAN),
        Recipe("lorentz-sam", "graph", RiemannianAdam, LorentzSAM, _RIEMANNIAN),
        Recipe("lorentz-sam-chart", "graph", ChartAdam, LorentzSAM, _RIEMANNIAN),
        Recipe("fgsam", "both", wrapper=FGSAM, options={"rho": 0.05, "lam": 1.0}),
        Recipe("fgsam+", "both", wrapper=FGSAMPlus, options={"rho": 0.1, "lam": 1.0, "alpha": 0.7, "k": 5}),
        Recipe("peer-mlp", "peer"),
        Recipe("peer-mlp-sam", "peer", wrapper=SAM, options={"rho": 0.05}),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of a named optimizer.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in RECIPES:
        raise ValueError(f"expected an optimizer among {', '.join(RECIPES)}, found {name!r}")
    return RECIPES[name]
