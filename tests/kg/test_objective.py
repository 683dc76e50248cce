from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.nn import ComplEx

from gsam.kg.losses import LossOptions, n3
from gsam.kg.models import HyboNet, MuRP
from gsam.kg.negatives import NEGATIVES
from gsam.kg.objective import Objective, Sampling
from gsam.kg.regularizers import factors
from gsam.kg.triples import with_reciprocals
from tests.kg.toy_graph import SIZE, toy_graph

TRIPLES = with_reciprocals(toy_graph().train, 4)


@pytest.mark.parametrize("kind", [HyboNet, MuRP, ComplEx])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_scores_are_the_models_own(negatives: str, kind: Any) -> None:
    torch.manual_seed(0)
    model = kind(SIZE, 8, 6).double()
    batches, sampler = Sampling(10, negatives, 4).build(TRIPLES, SIZE, 8)
    objective = Objective(model, LossOptions(), count=sampler.count)
    batch = next(iter(batches.epoch()))
    drawn = sampler.draw(batch).entities
    positive, negative = objective.scores(objective.scorer.query(batch.head, batch.relation), batch, drawn)
    assert_close(positive, model(batch.head, batch.relation, batch.tail), rtol=1e-9, atol=1e-9)
    entities = (torch.arange(SIZE) if drawn is None else drawn).expand(10, -1)
    assert negative.shape == entities.shape
    for column in range(entities.shape[1]):
        expected = model(batch.head, batch.relation, entities[:, column])
        assert_close(negative[:, column], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("negatives", ["shared", "per-triple"])
@pytest.mark.parametrize("name", ["softmax", "bce"])
def test_the_own_head_is_one_more_negative(name: str, negatives: str, filtered: bool) -> None:
    """Against a loop over the triples: the head counts once, unless it is a known tail of its query."""
    torch.manual_seed(0)
    loops = torch.tensor([[3, 1, 3], [5, 2, 5]])  # heads that are tails
    triples = torch.cat([TRIPLES, loops])
    facts = {tuple(row) for row in triples.tolist()}
    model = HyboNet(SIZE, 8, 6).double()
    sampling = Sampling(len(triples), negatives, 4, filtered, own_head=True)
    batches, sampler = sampling.build(triples, SIZE, 8)
    batch = next(iter(batches.epoch()))
    drawn = sampler.draw(batch)
    without = Objective(model, LossOptions(name), count=4).losses(batch, replace(drawn, own=None))
    found = Objective(model, LossOptions(name), count=4).losses(batch, drawn)
    scores = model(batch.head, batch.relation, batch.head)
    positive = model(batch.head, batch.relation, batch.tail)
    for i, (head, relation, tail) in enumerate(
        zip(*(x.tolist() for x in (batch.head, batch.relation, batch.tail)), strict=True)
    ):
        expected = without[i]
        if head != tail and not (filtered and (head, relation, head) in facts):
            if name == "bce":
                expected = without[i] + torch.nn.functional.softplus(scores[i]) * 50 / 4
            else:
                expected = positive[i].neg() + torch.logaddexp(without[i] + positive[i], scores[i])
        assert_close(found[i], expected, rtol=1e-9, atol=1e-9)
    assert (found == without).any()
    assert (found != without).any()


@pytest.mark.parametrize(("negatives", "count"), [("all", 4), ("shared", SIZE)])
def test_the_own_head_does_not_count_twice_among_all_entities(negatives: str, count: int) -> None:
    batches, sampler = Sampling(10, negatives, count, own_head=True).build(TRIPLES, SIZE, 8)
    assert sampler.draw(next(iter(batches.epoch()))).own is None


def test_the_penalty_is_added_to_each_triple() -> None:
    torch.manual_seed(0)
    model = ComplEx(SIZE, 8, 6)
    batches, sampler = Sampling(10, "shared", 4).build(TRIPLES, SIZE, 8)
    batch = next(iter(batches.epoch()))
    drawn = sampler.draw(batch)
    plain, with_penalty = (
        Objective(model, LossOptions(n3=weight), count=sampler.count).losses(batch, drawn) for weight in (0.0, 0.3)
    )
    expected = n3(factors(model, batch.head, batch.relation, batch.tail))
    assert_close(with_penalty - plain, 0.3 * expected, rtol=1e-4, atol=1e-6)


def test_what_a_step_touches() -> None:
    """All entities of the batch, or None where all may move."""
    for negatives, sparse, known in [("shared", True, True), ("shared", False, False), ("all", True, False)]:
        model = HyboNet(SIZE, 8, 6, sparse=sparse)
        batches, sampler = Sampling(6, negatives, 4).build(TRIPLES, SIZE, 8)
        objective = Objective(model, LossOptions(), count=sampler.count)
        batch = next(iter(batches.epoch()))
        drawn = sampler.draw(batch)
        rows = objective.touched(batch, drawn)
        assert (rows is not None) == known
        if rows is not None:
            objective.losses(batch, drawn).sum().backward()
            gradient = model.node_emb.weight.grad
            assert gradient is not None
            assert set(rows.tolist()) == set(gradient.coalesce().indices()[0].tolist())
    many = Sampling(6, "per-triple", 4).build(TRIPLES, SIZE, 8)
    batch = next(iter(many[0].epoch()))
    assert (
        Objective(HyboNet(SIZE, 8, 6, sparse=True), LossOptions(), count=4).touched(batch, many[1].draw(batch)) is None
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"negatives": "some"}, "negatives among shared, per-triple, all, found 'some'"),
        ({"batch_size": 0}, "batch_size >= 1, found 0"),
        ({"num_negatives": 0}, "num_negatives >= 1, found 0"),
    ],
)
def test_sampling_is_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**options)
