"""Keeping embeddings within a model's limits after a step, and an optimizer's momentum tangent there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gsam.distributed import row_split
from gsam.kg.groups import entity_tables
from gsam.optim import SharpnessAware
from gsam.optim.bases import curved_manifold
from gsam.optim.riemannian_base import RiemannianOptimizer


@torch.no_grad()
def constrain(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor | None) -> None:
    """Call ``model.constrain(rows)``, if it has one, and let momentum follow the points that it moves.

    A momentum keeps its coordinates when a point is pulled in, and would be longer there: a point that pushes against
    its limit step by step would gather momentum without bound. So it is transported, which keeps its length.

    Args:
        model: any model.
        optimizer: whose momentum follows, if it is Riemannian, or sharpness-aware around such a one.
        rows: ``[n]``, the entities of the batch, which may have moved; ``None`` for all. Of split tables the rows that
            this process has are looked at.
    """
    limit = getattr(model, "constrain", None)
    if limit is None:
        return
    base = optimizer.base if isinstance(optimizer, SharpnessAware) else optimizer
    if getattr(base, "moves_untouched_rows", False):
        rows = None
    split = row_split(model)
    if split is not None and rows is not None:
        rows = split.own(rows)
    tables = {table.weight for table in entity_tables(model).values()}
    carried = [
        (param.detach(), manifold, momentum, rows if param in tables else None)
        for param, manifold, momentum in _momenta(optimizer)
    ]
    before = [param.clone() if chosen is None else param.index_select(0, chosen) for param, *_, chosen in carried]
    limit(rows)
    for (param, manifold, momentum, chosen), old in zip(carried, before, strict=True):
        if chosen is None:
            momentum.copy_(manifold.transp(old, param, momentum))
        else:
            new, moved = param.index_select(0, chosen), momentum.index_select(0, chosen)
            momentum.index_copy_(0, chosen, manifold.transp(old, new, moved))


def _momenta(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Tensor, Any, Tensor]]:
    """Every parameter on a manifold with each of its momenta."""
    base = optimizer.base if isinstance(optimizer, SharpnessAware) else optimizer
    if not isinstance(base, RiemannianOptimizer):
        return
    for group in base.param_groups:
        for param in group["params"]:
            manifold = curved_manifold(group, param)
            if manifold is not None and param in base.state:
                for name in base.tangents:
                    if name in base.state[param]:
                        yield param, manifold, base.state[param][name]
