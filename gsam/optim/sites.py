"""Which entries of the parameters climb: all of a dense one, the touched rows of a row-sparse one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Site:
    """The parameters of one group that climb together.

    Attributes:
        group: the optimizer's parameter group, which holds ``rho`` and the geometry's options.
        params: the parameters.
        rows: for each parameter ``None``, or the indices of the rows a sparse gradient touches.
        points: for each parameter the tensor that moves: the parameter itself, or a copy of its touched rows.
        grads: the gradient at each of ``points``, dense and of the same shape.
        kept: what a geometry computes once for the norm and for the move of one ascent, by name.
    """

    group: Mapping[str, Any]
    params: list[Tensor]
    rows: list[Tensor | None]
    points: list[Tensor]
    grads: list[Tensor]
    kept: dict[str, Any] = field(default_factory=dict)


def find_site(group: Mapping[str, Any], resting: Collection[Tensor] = ()) -> Site:
    """The site of a group: those of its parameters that have a gradient and are not among the resting ones."""
    params = [p for p in group["params"] if p.grad is not None and p not in resting]
    site = Site(group, params, [], [], [])
    for param in params:
        rows, point, grad = _touched(param, param.grad)
        site.rows.append(rows)
        site.points.append(point)
        site.grads.append(grad)
    return site


def _touched(param: Tensor, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """The part of ``param`` that a gradient touches: all of it, or copies of the rows of a row-sparse gradient."""
    if not grad.is_sparse:
        return None, param, grad
    grad = grad.coalesce()
    if grad.sparse_dim() != 1:
        raise ValueError(
            f"expected a row-sparse gradient (sparse_dim 1), found sparse_dim {grad.sparse_dim()}; make it dense"
        )
    rows = grad.indices()[0]
    return rows, param.detach()[rows], grad.values()


def write_rows(site: Site) -> None:
    """Write moved copies of rows back into their parameters."""
    for param, rows, point in zip(site.params, site.rows, site.points, strict=True):
        if rows is not None:
            param.index_copy_(0, rows, point)
