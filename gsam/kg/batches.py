"""Batches of training triples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gsam.kg.filters import KnownTails


@dataclass(frozen=True)
class Batch:
    """B triples.

    Attributes:
        head: entities ``[B]``.
        relation: relation types ``[B]``, reciprocal ones included.
        tail: entities ``[B]``.
        query: number of the pair (head, relation) among those of the training triples ``[B]``.
        num_known: how many training tails the queries have together.
    """

    head: Tensor
    relation: Tensor
    tail: Tensor
    query: Tensor
    num_known: int

    def __len__(self) -> int:
        return len(self.head)


class TripleBatches:
    """All training triples once an epoch, in a new random order.

    Args:
        triples: ``[T, 3]``, reciprocal ones included.
        known: their known tails.
        batch_size: B; the last batch of an epoch takes what is left.
        generator: of the orders, on the device of the triples.
    """

    def __init__(self, triples: Tensor, known: KnownTails, batch_size: int, *, generator: torch.Generator) -> None:
        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, found {batch_size}")
        self.triples, self.known, self.batch_size, self.generator = triples, known, batch_size, generator
        self._query = known.number(triples[:, 0], triples[:, 1])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.triples) // self.batch_size)

    def epoch(self, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch without the first ``skip``; the order is drawn, and the device waited for, here."""
        count = len(self.triples)
        order = torch.randperm(count, generator=self.generator, device=self.generator.device)
        columns = [*self.triples[order].t().contiguous(), self._query[order]]
        totals = self.known.counts[columns[-1]].cumsum(0)
        ends = torch.arange(self.batch_size, count + self.batch_size, self.batch_size).clamp_(max=count) - 1
        known = totals[ends.to(totals.device)].diff(prepend=totals.new_zeros(1)).tolist()
        parts = zip(*(column.split(self.batch_size) for column in columns), known, strict=True)
        batches = (Batch(head, relation, tail, query, number) for head, relation, tail, query, number in parts)
        return itertools.islice(batches, skip, None)
