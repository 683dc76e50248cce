"""Lorentz SAM: Riemannian SAM on the hyperboloid, in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import geoopt
import torch
from torch import Tensor

from gsam.manifolds import Lorentz, lorentz_math, rgrad2egrad
from gsam.optim.bases import curved_manifold
from gsam.optim.riemannian import Per, Riemannian
from gsam.optim.riemannian_sam import RiemannianSAM


class LorentzGeometry(Riemannian):
    r"""The geodesic ball of hyperboloids and plain parameters, in the closed forms of ``gsam.manifolds.lorentz_math``.

    For points with :math:`\langle x, x\rangle_L = -1/c` on ``gsam.manifolds.Lorentz(c)`` or ``geoopt.Lorentz(k)``,
    :math:`c = 1/k`, all of which are moved and transported at once. The norm is taken from the gradient in the space
    coordinates, :math:`e = g_{1:} + g_0 x_{1:} / x_0`, as :math:`|e|^2 + c \langle x_{1:}, e\rangle^2`: a sum of
    squares, which no cancellation spoils far from the origin.

    Args:
        transport: carry the gradient back by parallel transport.
        per: what moves by ``rho``, see :class:`~gsam.optim.Riemannian`.
    """

    def __init__(self, *, transport: bool = True, per: Per = "all") -> None:
        super().__init__(transport=transport, per=per)

    def check(self, group: Mapping[str, Any]) -> None:
        """Refuse parameters on another manifold."""
        super().check(group)
        check_lorentz(group, "RiemannianSAM")

    def gradient(self, manifold: geoopt.Manifold, point: Tensor, grad: Tensor) -> Tensor:
        """The Riemannian gradient."""
        return lorentz_math.riemannian_gradient(point, grad, curvature(manifold, point))

    def squares(self, manifold: geoopt.Manifold, point: Tensor, grad: Tensor, vector: Tensor) -> Tensor:
        """Squared norm of each Riemannian gradient, shape ``(..., 1)``."""
        space = point[..., 1:]
        along = grad[..., 1:] + grad[..., :1] * (space / point[..., :1])
        radial = (space * along).sum(-1, keepdim=True)
        return along.square().sum(-1, keepdim=True) + curvature(manifold, point) * radial.square()

    def walk(self, manifold: geoopt.Manifold, point: Tensor, vector: Tensor) -> Tensor:
        """The end of the geodesic."""
        return lorentz_math.expmap(point, vector, curvature(manifold, point))

    def carry(self, manifold: geoopt.Manifold, point: Tensor, origin: Tensor, grad: Tensor) -> Tensor:
        """The covector at ``origin`` whose Riemannian gradient is that of ``grad`` at ``point``, transported."""
        vector = self.gradient(manifold, point, grad)
        vector = lorentz_math.transport(point, origin, vector, curvature(manifold, point))
        return rgrad2egrad(manifold, origin, vector)


class LorentzSAM(RiemannianSAM):
    r"""Riemannian SAM for hyperbolic embeddings: points on the hyperboloid beside plain parameters.

    The same step as :class:`RiemannianSAM`, in closed form for ``gsam.manifolds.Lorentz`` and ``geoopt.Lorentz``
    (:class:`~gsam.optim.LorentzGeometry`): with :math:`J = \mathrm{diag}(-1, 1, \dots, 1)`, :math:`h = J \nabla L`,

    .. math::
        \operatorname{grad} L = h + c\,\langle x, h\rangle_L\, x, \qquad
        \mathrm{Exp}_x(v) = \cosh(\sqrt c \|v\|)\, x + \frac{\sinh(\sqrt c \|v\|)}{\sqrt c \|v\|}\, v, \qquad
        \mathrm{Transport}_{y \to x}(q) = q + \frac{c\,\langle x, q\rangle_L}{1 - c\,\langle x, y\rangle_L}\,(x + y)

    Args:
        params: parameters or parameter groups, see :func:`gsam.manifolds.manifold_groups`.
        base: optimizer class or instance that makes the descent step, such as ``gsam.optim.RiemannianAdam``.
        rho: geodesic radius, default 0.05; for large tables 0.3 to 10, or ``per="row"``.
        transport: whether the gradient is transported back.
        per: ``"all"``, ``"parameter"`` or ``"row"``: what moves by ``rho``, see :class:`~gsam.optim.Riemannian`.
        **options: those of :class:`SharpnessAware` and of the base.

    Raises:
        ValueError: a parameter is on another manifold, or the base would leave it.

    Example::

        opt = LorentzSAM(manifold_groups(model), RiemannianAdam, lr=1e-3, rho=0.05, per="row")
        loss = opt.step(closure)
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        transport: bool = True,
        per: Per = "all",
        **options: Any,
    ) -> None:
        super().__init__(params, base, rho=rho, geometry=LorentzGeometry(transport=transport, per=per), **options)


def check_lorentz(group: Mapping[str, Any], general: str) -> None:
    """Refuse a group with parameters that are neither plain nor on a Lorentz manifold.

    Args:
        group: of an optimizer.
        general: the name of what takes all manifolds.
    """
    for param in group["params"]:
        manifold = curved_manifold(group, param)
        if not isinstance(manifold, (Lorentz, geoopt.Lorentz, type(None))):
            raise ValueError(
                f"expected plain parameters and points on a Lorentz manifold, found one on {manifold}; "
                f"{general} takes all manifolds"
            )


def curvature(manifold: geoopt.Manifold, like: Tensor) -> float | Tensor:
    """``c`` of gsam's Lorentz, or ``1/k`` of geoopt's, in the precision of the points."""
    if isinstance(manifold, Lorentz):
        return manifold.c
    curvature: Tensor = 1 / manifold.k.detach().to(like.dtype)
    return curvature
