from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gsam.kg.batches import Batch, TripleBatches
from gsam.kg.filters import KnownTails
from gsam.kg.losses import softmax, void
from gsam.kg.negatives import NEGATIVES, Negatives, NegativeSampler, SharedNegatives

ENTITIES, RELATIONS = 30, 4
GENERATOR = torch.Generator().manual_seed(0)
TRIPLES = torch.stack([torch.randint(n, (150,), generator=GENERATOR) for n in (6, RELATIONS, ENTITIES)], 1)
KNOWN = KnownTails(TRIPLES, ENTITIES, RELATIONS)
TRUE = {tuple(row) for row in TRIPLES.tolist()}


def sampler(name: str, count: int, *, filtered: bool = True, seed: int = 0) -> NegativeSampler:
    generator = torch.Generator().manual_seed(seed)
    return NEGATIVES[name](ENTITIES, count, known=KNOWN if filtered else None, generator=generator)


def some_batches(seed: int = 0) -> list[Batch]:
    return list(TripleBatches(TRIPLES, KNOWN, 40, generator=torch.Generator().manual_seed(seed)).epoch())


def entities(drawn: Negatives, batch: Batch) -> Tensor:
    """The candidates of each triple ``[B, n]``."""
    found = torch.arange(ENTITIES) if drawn.entities is None else drawn.entities
    return found.expand(len(batch), -1)


def counting(drawn: Negatives, batch: Batch) -> Tensor:
    """Which candidates count ``[B, n]``."""
    return void(torch.zeros(entities(drawn, batch).shape), drawn.void) == 0


@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("name", NEGATIVES)
def test_what_counts_against_a_loop(name: str, filtered: bool) -> None:
    """Everything drawn counts but the true tail and, if filtered, all training tails; and the void column."""
    source, void_ones = sampler(name, 12, filtered=filtered), 0
    for batch in some_batches():
        drawn = source.draw(batch)
        found, counts = entities(drawn, batch), counting(drawn, batch)
        width = ENTITIES if name == "all" else 12
        for i in range(len(batch)):
            head, relation, tail = int(batch.head[i]), int(batch.relation[i]), int(batch.tail[i])
            for j, entity in enumerate(found[i].tolist()):
                true = (head, relation, entity) in TRUE if filtered else entity == tail
                assert bool(counts[i, j]) == (j < width and not true)
                void_ones += true and j < width
    assert void_ones > 50


@pytest.mark.parametrize("name", NEGATIVES)
def test_shapes_and_weight(name: str) -> None:
    batch = some_batches()[0]
    drawn = sampler(name, 12).draw(batch)
    shape = {"shared": (13,), "per-triple": (40, 13)}.get(name)
    assert (None if drawn.entities is None else tuple(drawn.entities.shape)) == shape
    assert drawn.log_weight == pytest.approx(0.0 if name == "all" else math.log(30 / 12))


def test_shared_ones_do_not_repeat_and_cover_all_evenly() -> None:
    """Two draws of 12 out of 30 are disjoint; over many every entity comes equally often."""
    source, batch = sampler("shared", 12), some_batches()[0]
    draws = [source.draw(batch).entities[:-1] for _ in range(600)]  # type: ignore[index]
    for first, second in zip(draws[::2], draws[1::2], strict=True):
        assert len(torch.cat([first, second]).unique()) == 24
    counts = torch.stack(draws).flatten().bincount(minlength=ENTITIES).double()
    spread = (300 * 0.8 * 0.2) ** 0.5  # each pair of draws takes an entity with probability 24 / 30
    assert (counts - 600 * 12 / 30).abs().max() < 5 * spread


def test_more_shared_ones_than_entities_are_all_of_them() -> None:
    source, batch = sampler("shared", 1000), some_batches()[0]
    assert source.count == ENTITIES
    assert sorted(source.draw(batch).entities[:-1].tolist()) == list(range(ENTITIES))  # type: ignore[index]
    assert source.log_weight == 0


def test_own_ones_are_uniform() -> None:
    source, batch = sampler("per-triple", 50), some_batches()[0]
    counts = torch.cat([source.draw(batch).entities[:, :-1].flatten() for _ in range(20)])  # type: ignore[index]
    expected = 40 * 50 * 20 / ENTITIES
    assert (counts.bincount(minlength=ENTITIES) - expected).abs().max() < 5 * expected**0.5


@pytest.mark.parametrize("filtered", [True, False])
def test_shared_by_all_entities_is_one_against_all(filtered: bool) -> None:
    """Loss and gradient of the softmax agree to the last digits."""
    batch = some_batches()[1]
    scores = torch.randn(len(batch), ENTITIES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for name in ("shared", "all"):
        drawn, table = sampler(name, ENTITIES, filtered=filtered).draw(batch), scores.clone().requires_grad_()
        losses = loss(table, batch, drawn)
        losses.sum().backward()
        found.append((losses.detach(), table.grad))
    assert_close(found[0][0], found[1][0], rtol=1e-12, atol=0)
    assert_close(found[0][1], found[1][1], rtol=1e-12, atol=1e-15)


def loss(table: Tensor, batch: Batch, drawn: Negatives) -> Tensor:
    positive = table.gather(1, batch.tail[:, None]).squeeze(1)
    return softmax(positive, void(table.gather(1, entities(drawn, batch)), drawn.void), log_weight=drawn.log_weight)


@pytest.mark.parametrize("name", ["shared", "per-triple"])
def test_partition_sum_is_unbiased(name: str) -> None:
    """exp(loss + s_+) is the partition sum; its mean over draws is that of 1-vs-all, within five standard errors."""
    batch, source, draws = some_batches()[0], sampler(name, 8), 4000
    table = torch.randn(len(batch), ENTITIES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    positive = table.gather(1, batch.tail[:, None]).squeeze(1)
    sums = torch.stack([(loss(table, batch, source.draw(batch)) + positive).exp() for _ in range(draws)])
    exact = (loss(table, batch, sampler("all", 1).draw(batch)) + positive).exp()
    error = (sums.mean(0) - exact) / (sums.std(0) / draws**0.5)
    assert error.abs().max() < 5
    wrong = (8 / ENTITIES * (sums - positive.exp()) + positive.exp()).mean(0)  # without the weight of the negatives
    assert ((wrong - exact) / (sums.std(0) / draws**0.5)).abs().min() > 20


@pytest.mark.parametrize("name", NEGATIVES)
def test_same_seed_same_negatives(name: str) -> None:
    def draws(seed: int) -> list[Any]:
        source = sampler(name, 12, seed=seed)
        return [[source.draw(batch).void.tolist(), entities(source.draw(batch), batch).tolist()] for batch in batches]

    batches = some_batches()
    assert draws(5) == draws(5)
    assert name == "all" or draws(5) != draws(6)


def test_the_lookup_is_clean_after_every_draw() -> None:
    source = sampler("shared", 12)
    assert isinstance(source, SharedNegatives)
    for batch in some_batches():
        source.draw(batch)
        assert source._column.eq(12).all()


def test_count_is_checked() -> None:
    for name in NEGATIVES:
        with pytest.raises(ValueError, match="num_negatives >= 1, found 0"):
            sampler(name, 0)
