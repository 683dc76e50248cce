from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from gsam.kg.ranks import SIDES, Ranking, rank_figures
from gsam.kg.relation_categories import CATEGORIES, relation_categories
from tests.kg.naive_ranking import random_graph


def random_ranking(**options: Any) -> Ranking:
    graph = random_graph()
    generator = torch.Generator().manual_seed(0)
    size = (len(graph.test),)
    best = {side: torch.randint(1, 12, size, generator=generator) for side in SIDES}
    worst = {side: ranks + torch.randint(3, size, generator=generator) for side, ranks in best.items()}
    return Ranking(graph.test, best, worst, **options)


def test_figures_by_hand() -> None:
    found = rank_figures(torch.tensor([1.0, 2.5, 10.0, 4.0], dtype=torch.float64), ks=(1, 2, 3, 10))
    expected = {"mrr": (1 + 0.4 + 0.1 + 0.25) / 4, "mr": 17.5 / 4, "hits@1": 0.25, "hits@2": 0.25, "hits@3": 0.5}
    assert found == pytest.approx({**expected, "hits@10": 1.0, "count": 4})


def test_ranks_are_the_means_of_both_positions_or_the_worst_ones() -> None:
    for side in SIDES:
        mean, worst = random_ranking(), random_ranking(pessimistic=True)
        expected = [(b + w) / 2 for b, w in zip(mean.best[side].tolist(), mean.worst[side].tolist(), strict=True)]
        assert mean.ranks[side].tolist() == expected
        assert worst.ranks[side].tolist() == worst.worst[side].tolist()
        assert mean.ranks[side].dtype == worst.ranks[side].dtype == torch.float64


def test_metrics_are_those_of_the_results_file() -> None:
    ranking = random_ranking()
    metrics = ranking.metrics()
    assert list(metrics) == ["both", "head", "tail"]
    for figures in metrics.values():
        assert list(figures) == ["mrr", "mr", "hits@1", "hits@3", "hits@10", "count"]
    count = len(ranking.triples)
    assert [figures["count"] for figures in metrics.values()] == [2 * count, count, count]
    for name in ("mrr", "mr", "hits@1", "hits@3", "hits@10"):
        assert metrics["both"][name] == pytest.approx((metrics["head"][name] + metrics["tail"][name]) / 2)
        assert metrics["tail"][name] == rank_figures(ranking.ranks["tail"])[name]
    assert json.loads(json.dumps(metrics)) == metrics


def test_any_k() -> None:
    found = random_ranking().metrics(ks=(2, 50))["both"]
    assert list(found) == ["mrr", "mr", "hits@2", "hits@50", "count"]
    assert found["hits@50"] == 1.0


def test_per_relation_and_category_pick_their_triples() -> None:
    graph, ranking = random_graph(), random_ranking()
    relation = ranking.triples[:, 1]
    categories = relation_categories(graph.train, graph.num_relations)[relation]
    for found, group, names in [
        (ranking.per_relation(graph, ks=(1,)), relation, graph.relations),
        (ranking.per_category(graph, ks=(1,)), categories, CATEGORIES),
    ]:
        assert sum(figures["tail"]["count"] for figures in found.values()) == len(ranking.triples)
        assert set(found) == {names[key] for key in group.tolist()}
        for key in group.unique().tolist():
            ours = found[names[key]]
            for side in SIDES:
                assert ours[side] == rank_figures(ranking.ranks[side][group == key], ks=(1,))
            assert ours["both"]["mrr"] == pytest.approx((ours["head"]["mrr"] + ours["tail"]["mrr"]) / 2)


def test_a_relation_without_triples_is_left_out() -> None:
    graph, ranking = random_graph(), random_ranking()
    keep = ranking.triples[:, 1] != 1
    cut = [{side: values[keep] for side, values in positions.items()} for positions in (ranking.best, ranking.worst)]
    assert set(Ranking(ranking.triples[keep], cut[0], cut[1]).per_relation(graph)) == {"r0", "r2"}


def test_no_ranks_and_impossible_ks_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one rank"):
        rank_figures(torch.empty(0))
    with pytest.raises(ValueError, match="ks of at least 1, found \\[3, 0\\]"):
        rank_figures(torch.ones(2), ks=(3, 0))
