"""Riemannian SAM: the two-pass core on manifolds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from gsam.optim.bases import check_manifolds
from gsam.optim.clipping import squared_gradient_norm
from gsam.optim.riemannian import Per, Riemannian
from gsam.optim.sharpness_aware import SharpnessAware
from gsam.optim.vectors import host


class RiemannianSAM(SharpnessAware):
    r"""Sharpness-aware minimization on any mix of manifold and plain parameters (Yun and Yang, NeurIPS 2023).

    .. math::
        w_{adv} = \mathrm{Exp}_w\Bigl(\rho\,\frac{\operatorname{grad} L(w)}{\|\operatorname{grad} L(w)\|_w}\Bigr),
        \qquad G = \mathrm{Transport}_{w_{adv} \to w}\bigl(\operatorname{grad} L(w_{adv})\bigr)

    with the norm of the product of all manifolds (:class:`~gsam.optim.Riemannian`, which says where a parameter's
    manifold is taken from). The base optimizer steps at :math:`w` with the Riemannian gradient :math:`G`: ``p.grad``
    holds the Euclidean gradient that it turns into :math:`G`. Take ``gsam.optim.RiemannianAdam``, ``RiemannianSGD`` or
    one of geoopt's (these know ``ManifoldParameter`` only, and get copies of the gradients, as they write into them).
    On plain parameters this is :class:`SAM` bit for bit.

    With thousands of points a ball of all moves each of them by next to nothing: choose a large ``rho`` (0.3 to 10), or
    ``per="row"``, where each point moves by ``rho``. ``max_grad_norm`` bounds the Riemannian norm of :math:`G`.

    Args:
        params: parameters or parameter groups, see :func:`gsam.manifolds.manifold_groups`.
        base: optimizer class or instance that makes the descent step and knows the manifolds.
        rho: geodesic radius, default 0.05.
        transport: whether the gradient is transported back (whether the paper's experiments do is not known to us).
        retraction: climb by the manifolds' retractions in place of their exponential maps.
        per: ``"all"``, ``"parameter"`` or ``"row"``: what moves by ``rho``, see :class:`~gsam.optim.Riemannian`.
        **options: those of :class:`SharpnessAware` and of the base.

    Raises:
        ValueError: the base would leave a manifold: it is one of ``torch.optim``, or one of geoopt's and a manifold is
            known to the group only.

    Example::

        points = geoopt.ManifoldParameter(manifold.random(100, 11), manifold=manifold)
        opt = RiemannianSAM([points, *mlp.parameters()], RiemannianAdam, lr=1e-2, rho=0.1, per="row")
        loss = opt.step(closure)
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        transport: bool = True,
        retraction: bool = False,
        per: Per = "all",
        **options: Any,
    ) -> None:
        options.setdefault("geometry", Riemannian(transport=transport, retraction=retraction, per=per))
        super().__init__(params, base, rho=rho, **options)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_manifolds(self.base, group)

    @torch.no_grad()
    def _gradient_norm(self) -> float:
        """The Riemannian norm of the final gradient; where nothing is clipped, any norm tells whether it is finite."""
        if self.max_grad_norm is None:
            return super()._gradient_norm()
        return math.sqrt(host(squared_gradient_norm(self.param_groups, self.geometry, self.shards))[0])
