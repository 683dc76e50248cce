from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from torch import Tensor

from gsam.kg.batches import Batch, TripleBatches
from gsam.kg.filters import KnownTails

ENTITIES, RELATIONS = 30, 4


def random_triples(count: int = 200, seed: int = 0) -> Tensor:
    """With repeated ones, and queries of very different size."""
    generator = torch.Generator().manual_seed(seed)
    columns = [(ENTITIES, 1), (RELATIONS, 2), (ENTITIES, 1)]
    drawn = [torch.randint(size, (count,), generator=generator) // slow for size, slow in columns]
    drawn[0][: count // 3] = 7
    return torch.stack(drawn, 1)


def known_by_hand(triples: Tensor) -> dict[tuple[int, ...], set[int]]:
    found = defaultdict(set)
    for head, relation, tail in triples.tolist():
        found[head, relation].add(tail)
    return found


def batches(triples: Tensor, size: int, seed: int = 0) -> TripleBatches:
    known = KnownTails(triples, ENTITIES, RELATIONS)
    return TripleBatches(triples, known, size, generator=torch.Generator().manual_seed(seed))


def rows(batch: Batch) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.stack([batch.head, batch.relation, batch.tail], 1).tolist()]


def test_queries_and_counts_against_a_loop() -> None:
    triples = random_triples()
    by_hand, source = known_by_hand(triples), batches(triples, 32)
    for batch in source.epoch():
        expected = [(i, tail) for i, row in enumerate(rows(batch)) for tail in sorted(by_hand[row[:2]])]
        assert batch.num_known == len(expected)
        found = source.known.pairs(batch.query, batch.num_known)
        assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


@pytest.mark.parametrize("size", [1, 32, 200, 500])
def test_an_epoch_has_every_triple_once(size: int) -> None:
    triples = random_triples()
    source = batches(triples, size)
    found = list(source.epoch())
    assert len(found) == len(source)
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)
    assert sum(map(len, found)) == 200
    together = sorted(row for batch in found for row in rows(batch))
    assert together == sorted(map(tuple, triples.tolist()))


def test_orders_differ_by_epoch_and_repeat_by_seed() -> None:
    triples = random_triples()
    first, second = batches(triples, 64), batches(triples, 64)
    orders = [[rows(batch) for batch in first.epoch()] for _ in range(3)]
    assert orders == [[rows(batch) for batch in second.epoch()] for _ in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != [rows(batch) for batch in batches(triples, 64, seed=1).epoch()]


def test_batch_size_is_checked() -> None:
    with pytest.raises(ValueError, match="batch_size >= 1, found 0"):
        batches(random_triples(), 0)
