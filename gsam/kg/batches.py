"""Batches of training triples."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gsam.distributed import ALONE, Ranks
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
        joint: the batch of which this is the share of one of several processes; ``None`` for one process.
        start: position of its first triple there.
        weight: what it counts in the joint batch; 0 where that has fewer triples than there are processes, and this one
            has somebody else's, so that all of them compute something.
    """

    head: Tensor
    relation: Tensor
    tail: Tensor
    query: Tensor
    num_known: int
    joint: Batch | None = None
    start: int = 0
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.head)


class TripleBatches:
    """All training triples once an epoch, in a new random order.

    Args:
        triples: ``[T, 3]``, reciprocal ones included.
        known: their known tails.
        batch_size: B; the last batch of an epoch takes what is left.
        generator: of the orders, on the device of the triples.
        ranks: the processes that share each batch, and draw the same orders.
    """

    def __init__(
        self,
        triples: Tensor,
        known: KnownTails,
        batch_size: int,
        *,
        generator: torch.Generator,
        ranks: Ranks = ALONE,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"expected batch_size >= 1, found {batch_size}")
        self.triples, self.known, self.batch_size, self.generator = triples, known, batch_size, generator
        self.ranks = ranks
        self._query = known.number(triples[:, 0], triples[:, 1])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.triples) // self.batch_size)

    def epoch(self, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch without the first ``skip``; the order is drawn, and the device waited for, here."""
        count = len(self.triples)
        order = torch.randperm(count, generator=self.generator, device=self.generator.device)
        columns = [*self.triples[order].t().contiguous(), self._query[order]]
        cuts = [self._cuts(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]
        before = F.pad(self.known.counts[columns[-1]].cumsum(0), (1, 0))  # known tails of all triples before each
        known = before[torch.tensor(cuts, device=before.device)].tolist()
        batches = (self._batch(columns, places, numbers) for places, numbers in zip(cuts, known, strict=True))
        return itertools.islice(batches, skip, None)

    def _cuts(self, start: int, end: int) -> tuple[int, int, int, int]:
        """Where a batch, and in it the share of this process, begins and ends; it is never empty."""
        first, last = self.ranks.bounds(end - start)
        if first == last:
            first = min(first, end - start - 1)
        return start, start + first, start + max(first + 1, last), end

    def _batch(self, columns: list[Tensor], cuts: tuple[int, int, int, int], known: list[int]) -> Batch:
        start, first, last, end = cuts
        head, relation, tail, query = (column[start:end] for column in columns)
        joint = Batch(head, relation, tail, query, known[3] - known[0])
        if self.ranks.size == 1:
            return joint
        head, relation, tail, query = (column[first:last] for column in columns)
        lowest, highest = self.ranks.bounds(len(joint))
        weight = (highest - lowest) / len(joint)
        return Batch(head, relation, tail, query, known[2] - known[1], joint, first - start, weight)
