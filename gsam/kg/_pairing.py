"""How the rows of queries meet the rows of candidates, so that a score formula is written once for every shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gsam.manifolds.precision import lifted, outside_autocast

Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Pairing:
    """Inner products of query rows with candidate rows, and the layout of numbers that belong to one side only.

    Args:
        inner: two tensors of vectors to their inner products.
        left: a query's number, one column, to the shape that broadcasts with the inner products.
        right: the same for a candidate's.
    """

    inner: Callable[[Tensor, Tensor], Tensor]
    left: Callable[[Tensor], Tensor]
    right: Callable[[Tensor], Tensor]


def _as_is(number: Tensor) -> Tensor:
    return number


def _without_column(number: Tensor) -> Tensor:
    return number.squeeze(-1)


def _as_row(number: Tensor) -> Tensor:
    return number.mT


@outside_autocast
def _matrix_product(query: Tensor, candidates: Tensor) -> Tensor:
    return query @ candidates.mT


@lifted
def _row_by_row(query: Tensor, candidates: Tensor) -> Tensor:
    return (query * candidates).sum(-1)


@outside_autocast
def _own_candidates(query: Tensor, candidates: Tensor) -> Tensor:
    return (candidates @ query.unsqueeze(-1)).squeeze(-1)


#: queries [B, d] with candidates [n, d]: every pair, [B, n]
EVERY_PAIR = Pairing(_matrix_product, _as_is, _as_row)
#: queries [B, d] with candidates [B, d]: row by row, [B]
ROW_BY_ROW = Pairing(_row_by_row, _without_column, _without_column)
#: queries [B, d] with candidates [B, k, d]: each query with candidates of its own, [B, k]
OWN_CANDIDATES = Pairing(_own_candidates, _as_is, _without_column)
