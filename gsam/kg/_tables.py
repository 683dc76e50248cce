"""Small operations on embedding tables and their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from geoopt.manifolds.base import Manifold


def table_rows(table: nn.Embedding, index: Tensor | None) -> Tensor:
    """Return the rows of a table, all of them (the parameter itself) for None.

    Raises:
        ValueError: all rows are asked for of a table that is split over processes.
    """
    if index is None and hasattr(table, "split"):
        raise ValueError("expected the entities to look up, found None for all with tables that are split")
    return table.weight if index is None else table(index)


def clip_rows(x: Tensor, limit: float | Tensor) -> Tensor:
    """Scale rows [..., d] that are longer than ``limit`` down to it."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    over = norm > limit
    return torch.where(over, x * (limit / torch.where(over, norm, 1.0)), x)


def write_rows(weight: Tensor, rows: Tensor | None, values: Tensor) -> None:
    """Overwrite rows of a parameter in place, all of them for None."""
    weight = weight.detach()
    weight.copy_(values) if rows is None else weight.index_copy_(0, rows, values)


def place_on(table: nn.Embedding, manifold: Manifold) -> None:
    """Make the rows of a filled table points of a manifold, for optimizers that know manifolds."""
    from geoopt import ManifoldParameter

    from gsam.manifolds import record

    table.weight = ManifoldParameter(table.weight.detach(), manifold=manifold)
    record(table, "weight", manifold)  # outlives load_state_dict(assign=True), which leaves a plain parameter
