"""One matrix per relation, applied to a batch of vectors of mixed relations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gsam.manifolds.precision import outside_autocast

_BLOCK = 16  # rows that share one copy of their relation's matrix


@outside_autocast
def apply_relation_matrices(matrices: Tensor, rel_type: Tensor, x: Tensor) -> Tensor:
    """Return ``matrices[rel_type] @ x`` without a copy of the matrix for every row.

    The rows are grouped by relation into blocks of equal length, padded with zeros, and one matrix per block is
    gathered. Forward and backward then are ordinary batched matrix products over ``B / 16 + R`` matrices, where the
    plain form gathers, and in the backward pass builds, ``B`` of them. No host synchronisation: the number of blocks
    is bounded by shapes alone.

    Args:
        matrices: [R, o, i].
        rel_type: [B], in 0..R-1.
        x: [B, i].

    Returns:
        [B, o].
    """
    slot, relation_of_block = _blocks(rel_type, len(matrices))
    blocks, (out, width) = len(relation_of_block), matrices.shape[1:]
    rows = x.new_zeros(blocks * _BLOCK, width).index_copy(0, slot, x).view(blocks, _BLOCK, width)
    # F.embedding, as its backward pass is deterministic on every device
    chosen = F.embedding(relation_of_block, matrices.flatten(1)).view(blocks, out, width)
    return torch.bmm(rows, chosen.mT).view(blocks * _BLOCK, out).index_select(0, slot)


def _blocks(rel_type: Tensor, num_relations: int) -> tuple[Tensor, Tensor]:
    """Place each row: its slot [B] among the padded blocks, and the relation of each block."""
    batch, device = rel_type.numel(), rel_type.device
    order = rel_type.argsort(stable=True)
    counts = torch.zeros(num_relations, dtype=torch.long, device=device)
    counts.index_add_(0, rel_type, torch.ones(batch, dtype=torch.long, device=device))
    blocks = (counts + _BLOCK - 1) // _BLOCK
    last_block = blocks.cumsum(0)
    offset = (last_block - blocks) * _BLOCK - (counts.cumsum(0) - counts)
    ranked = torch.arange(batch, device=device) + offset[rel_type[order]]
    slot = torch.empty_like(order).index_copy_(0, order, ranked)
    # at most one block of each relation that occurs is not full; the unused blocks at the end hold zeros only
    upper = torch.arange(batch // _BLOCK + min(num_relations, batch), device=device)
    return slot, torch.searchsorted(last_block, upper, right=True).clamp_max(num_relations - 1)
