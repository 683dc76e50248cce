"""The Riemannian geometry: climb along geodesics of the manifold each parameter lives on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import geoopt
import torch
from torch import Tensor

from gsam.manifolds import rgrad2egrad
from gsam.manifolds.precision import lift
from gsam.optim.bases import curved_manifold
from gsam.optim.geometry import Geometry
from gsam.optim.sites import Site
from gsam.optim.vectors import aligned, least_square, places, squared_norm, with_entries

Per = Literal["all", "parameter", "row"]
_PER = ("all", "parameter", "row")


class Riemannian(Geometry):
    r"""The geodesic ball of the product of the manifolds that the parameters live on.

    With :math:`\operatorname{grad} L` the Riemannian gradient, the norm is
    :math:`\|\operatorname{grad} L\|_w = \sqrt{\langle \operatorname{grad} L, \operatorname{grad} L\rangle_w}`, the move
    :math:`\mathrm{Exp}_w(\rho \operatorname{grad} L / \|\operatorname{grad} L\|_w)`, and the gradient found there
    comes back by transport along that geodesic, as the covector that any base optimizer turns into just this vector.
    Plain parameters, and those on ``geoopt.Euclidean``, are flat: for them it is :class:`~gsam.optim.Euclidean`.

    The manifold of a parameter is ``group["manifold"]``, or else that of a ``geoopt.ManifoldParameter``. Parameters of
    the manifolds themselves, such as a learned curvature, do not climb: the ball lies in the manifold as it is.

    Args:
        transport: carry the gradient back by ``manifold.transp``; otherwise the ambient gradient found at the perturbed
            point is used at the original one as it is. geoopt's transport is parallel for its hyperbolic manifolds, a
            projection for some others (``Sphere``, ``Stiefel``).
        retraction: climb by ``manifold.retr`` in place of the exponential map.
        per: what moves by ``rho``: all parameters with this option together (``"all"``), each parameter
            (``"parameter"``), or each row (``"row"``), that is each point on a manifold, each slice along dimension 0
            of a plain parameter of two or more dimensions, any other plain parameter as a whole. What has no gradient
            stays.

    ``transport`` and ``per`` live in each group, so groups can differ; those with ``per="all"`` share one ball.

    Raises:
        ValueError: another ``per`` than the three.
    """

    def __init__(self, *, transport: bool = True, retraction: bool = False, per: Per = "all") -> None:
        self.options = {"transport": transport, "per": per}
        self.retraction = retraction
        self.check({"params": [], **self.options})

    def check(self, group: Mapping[str, Any]) -> None:
        """Refuse another ``per`` than the three."""
        if group["per"] not in _PER:
            raise ValueError(f"expected per to be 'all', 'parameter' or 'row', found {group['per']!r}")

    def shares_ball(self, group: Mapping[str, Any]) -> bool:
        """Unless each parameter or row has a ball of its own."""
        return bool(group["per"] == "all")

    def resting(self, groups: Iterable[Mapping[str, Any]]) -> set[Tensor]:
        """The parameters of the manifolds."""
        found = {curved_manifold(group, param) for group in groups for param in group["params"]}
        return {param for manifold in found if manifold is not None for param in manifold.parameters()}

    def squared_dual_norm(self, site: Site) -> Tensor:
        """Sum of the squared Riemannian norms over all points."""
        squares = self._squares(site)
        flat = [grad for grad, square in zip(site.grads, squares, strict=True) if square is None]
        found = [squared_norm(flat)] if flat else []
        found += [square.double().sum() for square in squares if square is not None]
        return torch.stack([square.to(found[0].device) for square in found]).sum()

    def direction(self, site: Site) -> list[Tensor]:
        """The Riemannian gradients."""
        if "direction" not in site.kept:
            triples = zip(self._manifolds(site), site.points, site.grads, strict=True)
            site.kept["direction"] = [g if m is None else self.gradient(m, x.detach(), g) for m, x, g in triples]
        found: list[Tensor] = site.kept["direction"]
        return found

    def climb(self, site: Site, length: float) -> None:
        """In the ball of all, or in those of the parameters or rows."""
        if self.shares_ball(site.group):
            super().climb(site, length)
        else:
            scales = self._scales(site)
            self.move(site, [v * scale for v, scale in zip(self.direction(site), scales, strict=True)], 1.0)
        site.kept.clear()  # the second pass needs the memory

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        """Along geodesics, or by the retraction."""
        manifolds = self._manifolds(site)
        flat = [i for i, manifold in enumerate(manifolds) if manifold is None]
        if flat:
            torch._foreach_add_([site.points[i] for i in flat], [direction[i] for i in flat], alpha=scale)
        for manifold, point, along in zip(manifolds, site.points, direction, strict=True):
            if manifold is not None:
                point.copy_(self.walk(manifold, point.detach(), scale * along))

    def carries_back(self, group: Mapping[str, Any]) -> bool:
        """Whether a point on a manifold is in the group, and ``transport`` on."""
        return bool(group["transport"]) and any(curved_manifold(group, p) is not None for p in group["params"])

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:
        """Transport the gradients that were found at moved points, dense or row-sparse; others stay as they are."""
        if not site.group["transport"]:
            return
        for manifold, param, rows, start in zip(self._manifolds(site), site.params, site.rows, origin, strict=True):
            if manifold is not None and param.grad is not None:
                param.grad = self._carried(manifold, param.detach(), param.grad, rows, start)

    # -- on one manifold ----------------------------------------------------------------------------------------------

    def gradient(self, manifold: geoopt.Manifold, point: Tensor, grad: Tensor) -> Tensor:
        """The Riemannian gradient. The clone is for geoopt's Lorentz, which writes into its argument."""
        found: Tensor = manifold.egrad2rgrad(point, grad.clone())
        return found

    def squares(self, manifold: geoopt.Manifold, point: Tensor, grad: Tensor, vector: Tensor) -> Tensor:
        """Squared norm of each Riemannian gradient ``vector``, that of ``grad``, in a shape that broadcasts with it."""
        found: Tensor = manifold.inner(point, vector, vector, keepdim=True)
        return found.clamp(min=0)  # where the form is indefinite, rounding can make it negative

    def walk(self, manifold: geoopt.Manifold, point: Tensor, vector: Tensor) -> Tensor:
        """Where a tangent vector leads."""
        found: Tensor = (manifold.retr if self.retraction else manifold.expmap)(point, vector)
        return found

    def carry(self, manifold: geoopt.Manifold, point: Tensor, origin: Tensor, grad: Tensor) -> Tensor:
        """The covector at ``origin`` whose Riemannian gradient is that of ``grad`` at ``point``, transported."""
        vector = manifold.transp(point, origin, self.gradient(manifold, point, grad))
        return rgrad2egrad(manifold, origin, vector)

    # -- rows ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _manifolds(site: Site) -> list[geoopt.Manifold | None]:
        """That of each parameter, ``None`` if it is flat, or if no row is touched: geoopt fails on empty tensors."""
        pairs = zip(site.params, site.points, strict=True)
        return [curved_manifold(site.group, param) if point.numel() else None for param, point in pairs]

    def _squares(self, site: Site) -> list[Tensor | None]:
        """For each parameter the squared norms of its points, ``None`` if it is flat."""
        if "squares" not in site.kept:
            vectors = zip(self._manifolds(site), site.points, site.grads, self.direction(site), strict=True)
            site.kept["squares"] = [None if m is None else self.squares(m, x.detach(), g, v) for m, x, g, v in vectors]
        found: list[Tensor | None] = site.kept["squares"]
        return found

    def _scales(self, site: Site) -> list[Tensor]:
        """``rho`` over the norm, for each parameter or row, 0 where that is; without a host synchronisation."""
        found = []
        for square, grad in zip(self._squares(site), site.grads, strict=True):
            square = _row_squares(grad) if square is None else square
            if site.group["per"] == "parameter":
                square = square.double().sum()
            scale = torch.where(square > least_square([grad]), float(site.group["rho"]) / square.sqrt(), 0.0)
            found.append(scale.to(grad.dtype))
        return found

    def _carried(
        self, manifold: geoopt.Manifold, point: Tensor, grad: Tensor, moved: Tensor | None, origin: Tensor
    ) -> Tensor:
        """A new gradient with every row carried that moved.

        Args:
            manifold: of the parameter.
            point: the moved parameter.
            grad: the gradient there.
            moved: the rows that moved, at least one, in order; ``None`` for all.
            origin: where they moved from.
        """
        if not grad.is_sparse:
            if moved is None:
                return self.carry(manifold, point, origin, grad)
            return grad.index_copy(0, moved, self.carry(manifold, point[moved], origin, grad[moved]))
        grad = grad.coalesce()
        rows, entries = grad.indices()[0], grad.values()
        if not rows.numel():
            return grad
        here = point[rows]
        if moved is None:
            return with_entries(grad, self.carry(manifold, here, origin[rows], entries))
        place, known = places(rows, moved)  # the second pass may touch rows that did not move: what is carried is void
        carried = self.carry(manifold, here, origin[place], entries)
        return with_entries(grad, torch.where(aligned(known, entries), carried, entries))


def _row_squares(grad: Tensor) -> Tensor:
    """Squared norm of each slice along dimension 0, shaped to broadcast with ``grad``; of all if it is a vector."""
    exact = lift(grad)
    if grad.dim() < 2:
        return exact.square().sum()
    return aligned(exact.square().flatten(1).sum(1), grad)
