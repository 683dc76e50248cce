"""FGSAM: the GNN climbs, the weight-sharing MLP descends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from gsam.optim.parts import mix_gradients
from gsam.optim.sharpness_aware import Closure, SharpnessAware


class FGSAM(SharpnessAware):
    r"""Fast graph SAM (Luo et al., *Fast Graph Sharpness-Aware Minimization*, NeurIPS 2024).

    .. math::
        g = \nabla L(w; f_\mathrm{GNN}), \quad \epsilon = \rho\, g / \|g\|_2, \quad
        s = \nabla L(w + \epsilon; f_\mathrm{MLP}), \quad G = \lambda g + s

    and the base optimizer steps from :math:`w` with :math:`G`. The second pass runs the peer of the GNN, an MLP with
    the same weights (:class:`gsam.nn.PeerMLP`), and costs next to nothing beside the first.

    Where we differ: the released script back-propagates a retained graph after the weights were swapped, which mixes
    old activations with perturbed weights; here the saved first gradient is used, as in the paper's algorithm.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius of the ascent, default 0.05.
        lam: weight :math:`\lambda \ge 0` of the GNN's gradient; lives in each group. The default is the released
            setting: 1, or 0.5 in the convex form of ``variant="released"``; these agree up to the overall scale.
        variant: ``"paper"`` for :math:`\lambda g + s`, ``"released"`` for the published code's
            :math:`(1-\lambda) g + \lambda s` with :math:`\lambda \in [0, 1]`; then ``lam`` is that of the code, and
            :math:`\lambda_\mathrm{paper} = (1-\lambda)/\lambda` up to the overall scale.
        **options: those of :class:`SharpnessAware` and of the base.

    Example::

        peer = PeerMLP(gnn)
        opt = FGSAM(gnn.parameters(), torch.optim.Adam, lr=5e-3)
        loss = opt.step(gnn_closure, peer_closure)
    """

    keeps_ascent_gradient = True

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        lam: float | None = None,
        variant: Literal["paper", "released"] = "paper",
        **options: Any,
    ) -> None:
        self.variant, self.lam = variant, check_lam(default_lam(variant) if lam is None else lam, variant)
        super().__init__(params, base, rho=rho, **options)

    def _group_options(self) -> dict[str, Any]:
        return {"lam": self.lam}

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_lam(group["lam"], self.variant)

    @torch._disable_dynamo
    def step(
        self,
        closure: Closure | None = None,
        peer_closure: Closure | None = None,
        *,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Any:
        """Take one step and return the GNN's loss at the unperturbed weights.

        Args:
            closure: clears gradients, computes the loss with the GNN, calls ``backward``, returns the loss.
            peer_closure: the same with the peer MLP. Without either the call ends a step made by hand.
            scaler: see :meth:`SharpnessAware.step`.

        Raises:
            TypeError: only one of the two closures is given.
            RuntimeError: there is none, and no ascent was made by hand.
        """
        if peer_closure is None and (closure is None or self._ascended):
            return self._end_by_hand(closure, scaler)
        closure, peer_closure = both(closure, peer_closure)
        random_state = self._random_state()
        loss = self._evaluate(closure)
        if self.ascend():
            self._at_perturbed(peer_closure, random_state)
        self.descend(scaler)
        return loss

    def _combine(self, ascent_gradient: dict[Tensor, Tensor]) -> None:
        for group in self.param_groups:
            climb, descent = shares(group["lam"], self.variant)
            mix_gradients(group["params"], ascent_gradient, climb, descent)


def check_lam(lam: float, variant: str) -> float:
    """Check the range of ``lam`` for a variant and return it."""
    if variant not in ("paper", "released"):
        raise ValueError(f"expected variant 'paper' or 'released', found {variant!r}")
    if not (math.isfinite(lam) and 0 <= lam <= (1.0 if variant == "released" else lam)):
        raise ValueError(f"expected a finite lam >= 0 (and at most 1 for variant='released'), found {lam}")
    return lam


def default_lam(variant: str) -> float:
    """The released setting, in the form of the variant."""
    return 0.5 if variant == "released" else 1.0


def both(closure: Closure | None, peer_closure: Closure | None) -> tuple[Closure, Closure]:
    """Refuse a step with only one of the two closures."""
    if closure is None or peer_closure is None:
        raise TypeError(
            "expected step(closure, peer_closure): the first runs the GNN, the second its PeerMLP; "
            f"found {'no closure' if closure is None else 'no peer_closure'}"
        )
    return closure, peer_closure


def shares(lam: float, variant: str) -> tuple[float, float]:
    """Weights of the ascent gradient and of the descent gradient."""
    return (lam, 1.0) if variant == "paper" else (1.0 - lam, lam)
