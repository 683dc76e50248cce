"""ESAM: a random part of the weights climbs, and the samples whose loss rose most descend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from gsam.optim.checks import check_losses, check_share
from gsam.optim.geometry import Euclidean, Geometry
from gsam.optim.randomness import RandomState
from gsam.optim.sharpness_aware import Closure, SharpnessAware
from gsam.optim.sites import Site


class ESAM(SharpnessAware):
    r"""Efficient SAM (Du et al., ICLR 2022): stochastic weight perturbation and sharpness-sensitive data selection.

    .. math::
        \epsilon = \tfrac{1}{\beta}\, m \odot \rho\, g / \|g\|_2, \quad m_i \sim \mathrm{Bernoulli}(\beta), \qquad
        G = \nabla \tfrac{1}{|S|} \sum_{i \in S} \ell_i(w + \epsilon)

    where :math:`S` holds the fraction :math:`\gamma` of the batch whose loss rose most,
    :math:`\ell_i(w + \epsilon) - \ell_i(w)`. On average over the masks :math:`m` the perturbation is that of
    :class:`SAM`; with :math:`\beta = \gamma = 1` this is :class:`SAM` bit for bit.

    The selection needs the losses of the samples: the closure calls ``opt.reduce(losses)`` in place of
    ``losses.mean()``. It runs the model on the whole batch in both passes, and the second backward pass starts from
    the selected samples only. A closure may call ``reduce`` several times, in the same order in both passes; each call
    selects among its own samples. Under DDP each process selects among its own samples. With ``gamma = 1`` there is no
    need for ``reduce``, and steps can be taken by hand.

    The masks are drawn after the first pass, from torch's generator on the device of each parameter.

    Where we differ: the released code draws whole tensors and freezes the others; here each entry is drawn by itself.
    It takes the losses at the perturbed weights in a forward pass of its own, and drops the sample at the cut.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius of the ascent, default 0.05.
        beta: share of the entries that are perturbed, in (0, 1], default 0.6; lives in each group.
        gamma: share of the samples that descend, in (0, 1], rounded to whole samples and at least one; default 0.5.
        geometry: the metric, a flat one; default :class:`~gsam.optim.Euclidean`.
        **options: those of :class:`SharpnessAware` and of the base.

    Example::

        opt = ESAM(model.parameters(), torch.optim.Adam, lr=1e-3)

        def closure():
            opt.zero_grad()
            loss = opt.reduce(cross_entropy(model(x, edge_index), y, reduction="none"))
            loss.backward()
            return loss

        loss = opt.step(closure)
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        beta: float = 0.6,
        gamma: float = 0.5,
        geometry: Geometry | None = None,
        **options: Any,
    ) -> None:
        self.gamma = check_share("gamma", gamma)
        self._first_losses: list[Tensor] | None = None  # of the first pass, call by call; None: no step is under way
        super().__init__(params, base, rho=rho, geometry=_Thinned(geometry or Euclidean(), beta), **options)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_share("beta", group["beta"])

    def _passes(self, closure: Closure, scaler: torch.amp.GradScaler | None) -> Any:
        self._first_losses = []
        try:
            return super()._passes(closure, scaler)
        finally:
            self._first_losses = None

    def reduce(self, losses: Tensor) -> Tensor:
        """The mean of the losses of single samples, in the second pass of a step that of the selected ones.

        Args:
            losses: one loss for each sample, shape ``(B,)``.

        Returns:
            A scalar. Outside of a step it is the mean.

        Raises:
            ValueError: ``losses`` has another shape, or another one than in the first pass.
            RuntimeError: ``gamma < 1``, and the passes of a step call it a different number of times. ``step`` raises
                this too, if its closure does not call ``reduce`` at all.
        """
        check_losses(losses)
        if self.gamma < 1 and self._first_losses is not None:
            if self._sites is not None:
                losses = losses[self._most_risen(losses.detach())]
            else:
                self._first_losses.append(losses.detach())
        return losses.mean()

    def _most_risen(self, losses: Tensor) -> Tensor:
        """Indices of the samples that descend, chosen without a synchronisation with the host."""
        if not self._first_losses:
            raise _wrong_calls("more calls in the second pass than in the first")
        before = self._first_losses.pop(0)
        if len(before) != len(losses):
            raise ValueError(
                f"expected the {len(before)} samples of the first pass, found {len(losses)}; draw the batch outside of "
                "the closure, or with torch's generator and replay_rng=True"
            )
        return (losses - before).topk(max(1, round(self.gamma * len(losses)))).indices

    def _evaluate_again(self, closure: Closure, random_state: RandomState | None, *, synchronise: bool = True) -> Any:
        if self.gamma < 1 and not self._first_losses:
            raise _wrong_calls("none")
        loss = super()._evaluate_again(closure, random_state, synchronise=synchronise)
        if self._first_losses:
            raise _wrong_calls("fewer calls in the second pass than in the first")
        return loss

    def _check_by_hand(self) -> None:
        if self.gamma < 1:
            raise TypeError("expected step(closure), as gamma < 1 needs the losses of both passes; gamma = 1 by hand")


def _wrong_calls(found: str) -> RuntimeError:
    return RuntimeError(
        f"expected the closure to call opt.reduce(losses) in place of losses.mean(), as gamma < 1, found {found}; "
        "or set gamma=1"
    )


class _Thinned(Geometry):
    """Another geometry of which each entry moves with probability ``beta``, and then ``1 / beta`` times as far."""

    def __init__(self, geometry: Geometry, beta: float) -> None:
        self.geometry, self.options = geometry, {**geometry.options, "beta": beta}

    def squared_dual_norm(self, site: Site) -> Tensor:
        return self.geometry.squared_dual_norm(site)

    def direction(self, site: Site) -> list[Tensor]:
        """That of the geometry where the mask is 1. It is drawn in float32, so that it is the same for every dtype."""
        whole, beta = self.geometry.direction(site), site.group["beta"]
        if beta == 1:
            return whole
        return [entries * (torch.rand(entries.shape, device=entries.device) < beta) for entries in whole]

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        self.geometry.move(site, direction, scale / site.group["beta"])

    def carries_back(self, group: Mapping[str, Any]) -> bool:
        return self.geometry.carries_back(group)

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:
        self.geometry.pull_back(site, origin)

    def under(self, scaler: torch.amp.GradScaler | None) -> AbstractContextManager[None]:
        return self.geometry.under(scaler)

    def check(self, group: Mapping[str, Any]) -> None:
        self.geometry.check(group)
