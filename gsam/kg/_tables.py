"""Small operations on embedding tables and their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from geoopt.manifolds.base import Manifold

_BLOCK = 2**20  # numbers in a block of rows


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


def row_blocks(weight: Tensor) -> Iterator[Tensor]:
    """The rows of a parameter [N, d] in blocks, as views: what is computed of one block never takes the whole's memory.

    Blocks have a multiple of 16 rows, and the last one has 16 or more: on the CPU, PyTorch then draws the same normal
    numbers block by block as for the whole.
    """
    weight, size = weight.detach(), max(16, _BLOCK // max(1, weight.shape[1]) // 16 * 16)
    start = 0
    while len(weight) - start >= size + 16:
        yield weight[start : start + size]
        start += size
    yield weight[start:]


def update_rows(weight: Tensor, rows: Tensor | None, change: Callable[[Tensor], Tensor]) -> None:
    """Overwrite rows of a parameter in place by what ``change`` makes of them, row by row; all of them for None."""
    if rows is not None:
        weight = weight.detach()
        weight.index_copy_(0, rows, change(weight[rows]))
        return
    for block in row_blocks(weight):
        block.copy_(change(block))


def place_on(table: nn.Embedding, manifold: Manifold) -> None:
    """Make the rows of a filled table points of a manifold, for optimizers that know manifolds."""
    from geoopt import ManifoldParameter

    from gsam.manifolds import record

    table.weight = ManifoldParameter(table.weight.detach(), manifold=manifold)
    record(table, "weight", manifold)  # outlives load_state_dict(assign=True), which leaves a plain parameter
