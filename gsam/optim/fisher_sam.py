"""Fisher SAM: climb in a ball of the diagonal empirical Fisher metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gsam.optim.geometry import Geometry
from gsam.optim.sharpness_aware import SharpnessAware
from gsam.optim.sites import Site
from gsam.optim.vectors import squared_norm


class Fisher(Geometry):
    r"""The ball :math:`\epsilon^\top F \epsilon \le \rho^2` with :math:`F = \mathrm{diag}(1 + \eta\, g^2)`.

    Norm :math:`\sqrt{g^\top F^{-1} g}`, direction :math:`F^{-1} g` (Kim et al., *Fisher SAM*, ICML 2022).

    Args:
        eta: non-negative weight of the squared gradient, default 1; lives in each group. 0 is the Euclidean ball.

    ``eta`` is not scale-free: it weights the square of the gradient divided by ``loss_scale``, an attribute that is 1
    unless set, and by the scale of the ``GradScaler`` that ``step(closure, scaler=scaler)`` is given.
    """

    def __init__(self, eta: float = 1.0) -> None:
        self.options = {"eta": eta}
        self.loss_scale = 1.0
        self.check(self.options)

    @contextmanager
    def under(self, scaler: torch.amp.GradScaler | None) -> Iterator[None]:
        """Undo its scaling, too."""
        given = self.loss_scale
        self.loss_scale = given if scaler is None else given * scaler.get_scale()
        try:
            yield
        finally:
            self.loss_scale = given

    def check(self, group: Mapping[str, Any]) -> None:
        """Refuse a negative or non-finite ``eta``."""
        if not (math.isfinite(group["eta"]) and group["eta"] >= 0):
            raise ValueError(f"expected a finite eta >= 0, found {group['eta']}; eta = 0 is plain SAM")

    def squared_dual_norm(self, site: Site) -> Tensor:
        r""":math:`g^\top F^{-1} g`."""
        return squared_norm(torch._foreach_div(site.grads, torch._foreach_sqrt(self._metric(site))))

    def direction(self, site: Site) -> list[Tensor]:
        """:math:`F^{-1} g`."""
        return list(torch._foreach_div(site.grads, self._metric(site)))

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Addition."""
        torch._foreach_add_(site.points, direction, alpha=scale)

    def _metric(self, site: Site) -> list[Tensor]:
        """The diagonal of F."""
        metric = list(torch._foreach_div(site.grads, self.loss_scale))
        torch._foreach_mul_(metric, metric)
        torch._foreach_mul_(metric, float(site.group["eta"]))
        torch._foreach_add_(metric, 1.0)
        return metric


class FisherSAM(SharpnessAware):
    r"""SAM in a ball of the Fisher metric (Kim et al., *Fisher SAM: Information Geometry and SAM*, ICML 2022).

    .. math:: \epsilon = \rho\, \frac{F^{-1} g}{\sqrt{g^\top F^{-1} g}}, \qquad F = \mathrm{diag}(1 + \eta\, g^2)

    with one denominator for all parameters, so :math:`\epsilon^\top F \epsilon = \rho^2`; then SAM's descent step.
    Entries with large gradients move less than in SAM. :math:`F` is the empirical Fisher of the batch gradient, not of
    single samples, and is made anew at each step. ``eta = 0`` is :class:`SAM` bit for bit.

    ``eta`` is not scale-free. ``step(closure, scaler=scaler)`` undoes the scaling of a ``GradScaler`` itself. In a loop
    by hand set ``opt.geometry.loss_scale`` to the factor of the loss (``scaler.get_scale()``) before the ascent.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius in the Fisher metric, default 0.05.
        eta: non-negative weight of the squared gradient in the metric, default 1; lives in each group.
        **options: those of :class:`SharpnessAware` and of the base.

    Raises:
        ValueError: ``eta`` is negative or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        eta: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(params, base, rho=rho, geometry=Fisher(eta), **options)
