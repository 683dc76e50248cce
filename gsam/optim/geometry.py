"""What "nearby" means: the metrics in which a sharpness-aware optimizer climbs.

A geometry is four small functions of a :class:`Site`: the squared dual norm of the gradient, the steepest-ascent
direction (the inverse metric applied to the gradient), a move of the points, and the pull-back of the gradient found
at the moved points. The optimizer adds the norms over all sites, divides, moves and comes back.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from gsam.optim.sites import Site
from gsam.optim.vectors import squared_norm


class Geometry(ABC):
    """The interface. ``options`` names the geometry's own hyper-parameters; they live in each parameter group."""

    options: Mapping[str, float] = {}

    @abstractmethod
    def squared_dual_norm(self, site: Site) -> Tensor:
        """Squared dual norm of the gradient of ``site``, a scalar tensor."""

    @abstractmethod
    def direction(self, site: Site) -> list[Tensor]:
        """The inverse metric applied to the gradient, one tensor per point."""

    @abstractmethod
    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Move ``site.points`` in place by ``scale * direction``."""

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:  # noqa: B027
        """Carry ``grad`` of ``site.params`` from the moved points to ``origin``, in place. Flat: nothing to do."""


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
