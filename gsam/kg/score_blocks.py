"""Scores of queries against all entities, a block of queries at a time, within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gsam.distributed import RowSplit
from gsam.kg._pairing import Parts
from gsam.kg.scorers import Scorer

#: entities are scored in multiples of this many. The kernels of a matrix product treat the columns that are left over
#: from their own width (4 to 48) otherwise than the rest: equal entities would then score differently in the last bits
LANES = 48
_PARTS_LIMIT = 2**28  # numbers that the parts of all entities may take up to be kept
_CHUNK = 2**26  # numbers that the parts of some entities may take where those of all do not fit
_TOGETHER = 2**27  # scores of the queries that then share the parts of a chunk
_QUERIES = 4096  # whose parts are computed together
_BLOCK = {"cpu": 2**21}  # scores in a block: 8 MB stay in the cache from product to counts, which 16 MB did not
_BLOCK_ELSEWHERE = 2**26
_LEAST_ROWS = 16  # below, a product would do little but read the entities


def rows_per_block(num_entities: int, device: torch.device) -> int:
    """Return how many queries to score at a time, so that passes over a block of scores are cheap."""
    return max(_LEAST_ROWS, _BLOCK.get(device.type, _BLOCK_ELSEWHERE) // num_entities)


@dataclass(frozen=True)
class Pool:
    """The entities that are scored here: all of them, or those whose rows this process has.

    A block of scores has a column for each, and spare ones behind them.

    Attributes:
        num_entities: N, here and elsewhere.
        split: how tables are split; ``None`` if they are whole.
    """

    num_entities: int
    split: RowSplit | None = None

    @property
    def bounds(self) -> tuple[int, int]:
        """The first entity and the last one plus one."""
        return (0, self.num_entities) if self.split is None else (self.split.start, self.split.stop)

    def __len__(self) -> int:
        start, stop = self.bounds
        return stop - start

    @property
    def largest(self) -> int:
        """The most entities that a process scores; the same everywhere."""
        return self.num_entities if self.split is None else -(-self.num_entities // self.split.ranks.size)

    def index(self, device: torch.device) -> Tensor:
        """The entities of all columns; the last one fills the spare ones, of which there is one if tables are split."""
        start, stop = self.bounds
        entities = torch.arange(start, stop, device=device)
        return padded(entities if self.split is None else torch.cat([entities, entities[-1:]]))

    def columns(self, entities: Tensor) -> Tensor:
        """The columns of entities, a spare one for those that are scored elsewhere."""
        if self.split is None:
            return entities
        start, stop = self.bounds
        return torch.where((entities >= start) & (entities < stop), entities - start, stop - start)

    def joint(self, scores: Tensor, columns: Tensor) -> Tensor:
        """Scores in these columns, where they are spare ones those of the process that has the entities."""
        if self.split is None:
            return scores
        return self.split.ranks.sum(torch.where(columns < len(self), scores, 0.0))

    def here(self) -> AbstractContextManager[None]:
        """For the lookups of these entities."""
        return nullcontext() if self.split is None else self.split.staying_home()


class AllEntities:
    """The parts of all entities of a pool: kept if they fit, else computed again for every few blocks of queries.

    Args:
        make: parts of the entities [n].
        pool: the entities.
        device: of the model.
    """

    def __init__(self, make: Callable[[Tensor], Parts], pool: Pool, device: torch.device) -> None:
        index = pool.index(device)
        self._look_up, self._pool, self._length = make, pool, len(index)
        width = sum(part.numel() for part in self._make(index[:1]))
        self._chunks = index.split(max(1, _CHUNK // max(1, width) // LANES) * LANES)
        self._kept = self._all_parts() if len(index) * width <= _PARTS_LIMIT else None

    def _all_parts(self) -> Parts:
        """Made chunk by chunk, as a model takes several times the memory of what it returns."""
        first = self._make(self._chunks[0])
        if len(self._chunks) == 1:
            return first
        found = tuple(part.new_empty(self._length, *part.shape[1:]) for part in first)
        start = 0
        for chunk in self._chunks:
            for whole, part in zip(found, self._make(chunk), strict=True):
                whole[start : start + len(chunk)] = part
            start += len(chunk)
        return found

    def _make(self, index: Tensor) -> Parts:
        with self._pool.here():
            return self._look_up(index)

    def together(self, rows: int) -> int:
        """How many blocks of ``rows`` queries to score at once."""
        return 1 if self._kept is not None else max(1, _TOGETHER // (rows * self._length))

    def scores(self, meet: Callable[[Parts], Tensor]) -> Tensor:
        """Return [B, N'], the scores [B, n] that ``meet`` gives for parts of n entities, side by side."""
        if self._kept is not None:
            return meet(self._kept)
        found, start = None, 0
        for chunk in self._chunks:
            part = meet(self._make(chunk))
            if found is None:  # filled in place: all of them are never there twice
                found = part.new_empty(len(part), self._length)
            found[:, start : start + len(chunk)] = part
            start += len(chunk)
        assert found is not None
        return found


@dataclass(frozen=True)
class ByQuery:
    """Scores of parts of queries with all candidates.

    Attributes:
        scorer: of the model.
        ask: parts of the queries, given entity and relation [B].
        relation: int64 [Q], sorted.
        entity: int64 [Q], the known entity of each query.
        pool: the entities.
        rows: queries in a block.
    """

    scorer: Scorer
    ask: Callable[[Tensor, Tensor], Parts]
    entity: Tensor
    relation: Tensor
    pool: Pool
    rows: int

    def bounds(self) -> list[tuple[int, int]]:
        """Return first and last query plus one of each block."""
        return _cut(0, len(self.relation), self.rows)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the scores [b, N'] of each block; the columns behind those of the pool are the last entity's."""
        everything = AllEntities(self.scorer.candidates, self.pool, self.relation.device)
        step = max(1, _QUERIES // self.rows) * self.rows
        together = everything.together(self.rows) * self.rows
        for entity, relation in zip(self.entity.split(step), self.relation.split(step), strict=True):
            parts = self.ask(entity, relation)
            for start, stop in _cut(0, len(entity), together):
                query = tuple(part[start:stop] for part in parts)
                yield from everything.scores(partial(self.scorer.pairwise, query)).split(self.rows)


@dataclass(frozen=True)
class ByRelation:
    """Scores of all heads for given tails, with a model that can only be asked for tails.

    The heads are the queries here and the given tails the candidates, so a block has one relation.

    Attributes:
        scorer: of the model.
        entity: int64 [Q], the tails.
        relation: int64 [Q], sorted.
        pool: the entities.
        rows: tails in a block.
    """

    scorer: Scorer
    entity: Tensor
    relation: Tensor
    pool: Pool
    rows: int

    def bounds(self) -> list[tuple[int, int]]:
        """Return first and last tail plus one of each block."""
        return [block for _, start, stop in self._groups() for block in _cut(start, stop, self.rows)]

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the scores [b, N'] of each block; the columns behind those of the pool are the last entity's."""
        for relation, start, stop in self._groups():
            heads = AllEntities(partial(self._ask, relation), self.pool, self.relation.device)
            for first, last in _cut(start, stop, self.rows):
                tails = self.scorer.candidates(padded(self.entity[first:last]))
                yield heads.scores(partial(self._meet, tails))[: last - first]

    def _groups(self) -> list[tuple[int, int, int]]:
        """Each relation that occurs, with its first and last query plus one."""
        found, counts = self.relation.unique_consecutive(return_counts=True)
        stops = counts.cumsum(0)
        return list(zip(found.tolist(), (stops - counts).tolist(), stops.tolist(), strict=True))

    def _ask(self, relation: int, heads: Tensor) -> Parts:
        return self.scorer.query(heads, torch.full_like(heads, relation))

    def _meet(self, tails: Parts, heads: Parts) -> Tensor:
        return self.scorer.pairwise(heads, tails).mT


def padded(index: Tensor) -> Tensor:
    """Return ``index`` [n] with its last entry repeated up to a multiple of :data:`LANES`."""
    length = -(-len(index) // LANES) * LANES
    return torch.cat([index, index[-1:].expand(length - len(index))])


def _cut(start: int, stop: int, rows: int) -> list[tuple[int, int]]:
    return [(first, min(first + rows, stop)) for first in range(start, stop, rows)]
