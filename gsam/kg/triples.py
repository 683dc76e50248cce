"""Triples (head, relation, tail) as rows of an integer tensor, and their reciprocals."""

from __future__ import annotations

import torch
from torch import Tensor


def reciprocals(triples: Tensor, num_relations: int) -> Tensor:
    """Return (t, r + R, h) for each (h, r, t): the question for its head, asked as one for a tail.

    Args:
        triples: int64 [T, 3].
        num_relations: R, without reciprocal relations.

    Raises:
        ValueError: the triples have another shape.
    """
    if triples.dim() != 2 or triples.shape[1] != 3:
        raise ValueError(f"expected triples [T, 3] of head, relation and tail, found shape {list(triples.shape)}")
    head, relation, tail = triples.unbind(1)
    return torch.stack([tail, relation + num_relations, head], 1)


def with_reciprocals(triples: Tensor, num_relations: int) -> Tensor:
    """Return int64 [2T, 3]: the triples (h, r, t) in their order, then (t, r + R, h) in the same order.

    Args:
        triples: int64 [T, 3].
        num_relations: R, without reciprocal relations.

    Raises:
        ValueError: the triples have another shape.
    """
    return torch.cat([triples, reciprocals(triples, num_relations)])
