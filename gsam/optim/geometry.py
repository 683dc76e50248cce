"""What "nearby" means: the metrics in which a sharpness-aware optimizer climbs.

A geometry is four small functions of a :class:`Site`: the squared dual norm of the gradient, the steepest-ascent
direction (the inverse metric applied to the gradient), a move of the points, and the pull-back of the gradient found
at the moved points. The optimizer adds the norms over all sites, lets each climb, and comes back. Geometries that
need more say what a group may hold, which parameters stay, and whose norms add up to one ball.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from gsam.optim.sites import Site
from gsam.optim.vectors import squared_norm


class Geometry(ABC):
    """The interface. ``options`` names the geometry's own hyper-parameters; they live in each parameter group."""

    options: Mapping[str, Any] = {}

    @abstractmethod
    def squared_dual_norm(self, site: Site) -> Tensor:
        """Squared dual norm of the gradient of ``site``, a scalar tensor."""

    @abstractmethod
    def direction(self, site: Site) -> list[Tensor]:
        """The inverse metric applied to the gradient, one tensor per point."""

    @abstractmethod
    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Move ``site.points`` in place by ``scale * direction``."""

    def climb(self, site: Site, length: float) -> None:
        """Move ``site.points`` in place by ``rho`` along the direction.

        Args:
            site: what moves.
            length: dual norm over all sites that share the ball; at 0 there is no direction, and they stay.
        """
        if length > 0:
            self.move(site, self.direction(site), site.group["rho"] / length)

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:  # noqa: B027
        """Carry the gradients of ``site.params`` from the moved points to ``origin``. Flat: nothing to do."""

    def carries_back(self, group: Mapping[str, Any]) -> bool:
        """Whether :meth:`pull_back` changes a gradient of this group."""
        return False

    def shares_ball(self, group: Mapping[str, Any]) -> bool:
        """Whether the norm of this group counts in the one ball of all parameters."""
        return True

    def resting(self, groups: Iterable[Mapping[str, Any]]) -> set[Tensor]:
        """Parameters of ``groups`` that never climb, besides those with ``rho = 0``."""
        return set()

    def under(self, scaler: torch.amp.GradScaler | None) -> AbstractContextManager[None]:
        """Entered for the passes of ``step(closure, scaler=scaler)``: for metrics that the scale of a loss changes."""
        return nullcontext()

    def check(self, group: Mapping[str, Any]) -> None:  # noqa: B027
        """Raise a ``ValueError`` if this geometry has no place for the options or the parameters of a group."""


class Euclidean(Geometry):
    r"""The ball :math:`\|\epsilon\|_2 \le \rho` of plain SAM: norm :math:`\|g\|_2`, direction :math:`g`."""

    def squared_dual_norm(self, site: Site) -> Tensor:
        r""":math:`\|g\|_2^2`."""
        return squared_norm(site.grads)

    def direction(self, site: Site) -> list[Tensor]:
        """The gradient itself."""
        return site.grads

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Addition."""
        torch._foreach_add_(site.points, direction, alpha=scale)


class Adaptive(Geometry):
    r"""The ball of ASAM: :math:`\|T^{-1}\epsilon\|_2 \le \rho` with :math:`T = \mathrm{diag}(|w| + \eta)`.

    Norm :math:`\|T g\|_2`, direction :math:`T^2 g` (Kwon et al., *ASAM*, ICML 2021). The paper adds
    :math:`\eta = 0.01` to :math:`|w|`; the default here is 0, and the value lives in each group as ``eta``.

    Args:
        eta: non-negative number added to :math:`|w|`, so that weights at zero can move.
    """

    def __init__(self, eta: float = 0.0) -> None:
        if not (math.isfinite(eta) and eta >= 0):
            raise ValueError(f"expected a finite eta >= 0, found {eta}; pass a small number such as 0.01, or 0")
        self.options = {"eta": eta}

    def squared_dual_norm(self, site: Site) -> Tensor:
        r""":math:`\|T g\|_2^2`."""
        return squared_norm(torch._foreach_mul(self._scales(site), site.grads))

    def direction(self, site: Site) -> list[Tensor]:
        """:math:`T^2 g`."""
        scales = self._scales(site)
        torch._foreach_mul_(scales, scales)
        torch._foreach_mul_(scales, site.grads)
        return scales

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Addition."""
        torch._foreach_add_(site.points, direction, alpha=scale)

    @staticmethod
    def _scales(site: Site) -> list[Tensor]:
        scales = list(torch._foreach_abs(site.points))
        if site.group["eta"]:
            torch._foreach_add_(scales, float(site.group["eta"]))
        return scales
