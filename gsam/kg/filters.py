"""Which tails of a query (head, relation) are known to be true, looked up for whole batches of queries."""

from __future__ import annotations

import copy

import torch
from torch import Tensor


class KnownTails:
    """The known tails of every query (head, relation), as one sorted list of integer keys.

    Distinct queries are numbered 0 to U - 1 in sorted order; U is the number of every query that has no known tail.
    A triple's key is ``number * N + tail``, so the tails of a query are one stretch of the sorted keys. Duplicate
    triples count once.

    Args:
        triples: int64 [T, 3], reciprocal ones included where they are to be known.
        num_entities: N.
        num_relations: relation types, reciprocal ones included.

    Attributes:
        counts: int64 [U + 1], how many tails each query has; the last is 0.
    """

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        self.num_entities, self.num_relations = num_entities, num_relations
        self._queries = (triples[:, 0] * num_relations + triples[:, 1]).unique()
        number = self.number(triples[:, 0], triples[:, 1])
        self._keys = (number * num_entities + triples[:, 2]).unique()
        self.counts = torch.bincount(self._keys // num_entities, minlength=len(self._queries) + 1)
        self._starts = self.counts.cumsum(0) - self.counts

    def number(self, head: Tensor, relation: Tensor) -> Tensor:
        """Return the number of each query, U where it has no known tail; any shape."""
        wanted = head * self.num_relations + relation
        place = torch.searchsorted(self._queries, wanted)
        found = _at(self._queries, place) == wanted
        return torch.where(found, place, len(self._queries))

    def pairs(self, query: Tensor, total: int | None = None) -> tuple[Tensor, Tensor]:
        """Return every known tail of B queries, ordered by row, then by entity.

        Args:
            query: their numbers [B].
            total: P, how many tails they have together; given, nothing waits for the device to count them.

        Returns:
            Row in ``query`` and entity of each, both [P].
        """
        counts = self.counts[query]
        rows = torch.repeat_interleave(counts, output_size=total)
        first = self._starts[query] - (counts.cumsum(0) - counts)  # of each row: place of its keys less its position
        keys = self._keys[first[rows] + torch.arange(len(rows), device=rows.device)]
        return rows, keys - query[rows] * self.num_entities

    def contains(self, query: Tensor, entities: Tensor) -> Tensor:
        """Return whether each of ``entities`` [B, k] is a known tail of its query [B], bool [B, k]."""
        wanted = query[:, None] * self.num_entities + entities
        return _at(self._keys, torch.searchsorted(self._keys, wanted)) == wanted

    def to(self, device: torch.device | str) -> KnownTails:
        """Return the same on another device."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(device))
        return moved


def _at(sorted_keys: Tensor, place: Tensor) -> Tensor:
    """The keys at ``place``; -1, which no key equals, beyond the end."""
    if not len(sorted_keys):
        return torch.full_like(place, -1)
    inside = place < len(sorted_keys)
    return torch.where(inside, sorted_keys[place.clamp(max=len(sorted_keys) - 1)], -1)
