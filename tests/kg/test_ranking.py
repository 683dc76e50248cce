from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.kge import ComplEx, DistMult, KGEModel, RotatE, TransE

from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.evaluation import NonFiniteError
from gsam.kg import score_blocks
from gsam.kg.filters import KnownTails
from gsam.kg.models import HyboNet
from gsam.kg.ranking import NonFiniteScoreError, rank
from gsam.kg.ranks import SIDES, Ranking
from gsam.kg.triples import with_reciprocals
from tests.kg.naive_ranking import GivenScores, naive_ranks, random_graph

GRAPH = random_graph()
N, R = GRAPH.num_entities, GRAPH.num_relations
PROTOCOLS = ("standard", "hybonet")


def table(kind: str, types: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Scores [types, N, N]: all different, with many ties, or all the same."""
    generator = torch.Generator().manual_seed(seed)
    size = (types, N, N)
    if kind == "distinct":
        return torch.randperm(types * N * N, generator=generator).view(size).to(dtype) / 7
    if kind == "ties":
        return torch.randint(4, size, generator=generator).to(dtype) / 3
    return torch.full(size, 0.3, dtype=dtype)


def as_lists(ranking: Ranking) -> dict[str, list[float]]:
    return {side: ranks.tolist() for side, ranks in ranking.ranks.items()}


def raw(graph: KnowledgeGraph) -> KnownTails:
    """Nothing is known, so nothing is filtered."""
    return KnownTails(graph.train[:0], graph.num_entities, 2 * graph.num_relations)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("types", [R, 2 * R])
@pytest.mark.parametrize("kind", ["distinct", "ties", "equal"])
def test_ranks_are_those_of_the_definition(kind: str, types: int, protocol: str) -> None:
    for seed in range(3):
        scores = table(kind, types, seed)
        graph = random_graph(seed=seed)
        for split in ("valid", "test"):
            expected = naive_ranks(scores, graph, split, protocol)
            for block in (None, 1, 4):
                found = rank(GivenScores(scores), graph, split, protocol=protocol, block=block)
                assert as_lists(found) == expected


def test_a_self_loop_keeps_its_answer_where_the_given_entity_is_dropped() -> None:
    scores = torch.zeros(2, N, N, dtype=torch.float64)
    scores[0, 2, 2], scores[1, 2, 2], scores[:, 2, 7] = 1.0, 1.0, 2.0
    graph = KnowledgeGraph("loop", torch.tensor([[0, 0, 1]]), GRAPH.valid[:0], torch.tensor([[2, 0, 2]]), *_names(1))
    found = rank(GivenScores(scores), graph, protocol="hybonet")
    assert as_lists(found) == {"head": [2.0], "tail": [2.0]}


def _names(relations: int) -> tuple[list[str], list[str]]:
    return [f"e{i}" for i in range(N)], [f"r{i}" for i in range(relations)]


def test_positions_are_best_and_worst_for_either_protocol() -> None:
    for protocol in PROTOCOLS:
        found = rank(GivenScores(table("ties", 2 * R)), GRAPH, protocol=protocol)
        low, high = (
            rank(GivenScores(table("ties", 2 * R) + 1e-3 * shift), GRAPH, protocol=protocol)
            for shift in (_true_bonus(GRAPH), -_true_bonus(GRAPH))
        )
        for side in SIDES:
            assert found.best[side].equal(low.best[side])
            assert found.worst[side].equal(high.worst[side])
            assert bool((found.best[side] < found.worst[side]).any())


def _true_bonus(graph: KnowledgeGraph) -> Tensor:
    bonus = torch.zeros(2 * R, N, N, dtype=torch.float64)
    head, relation, tail = with_reciprocals(graph.all_triples(), R).unbind(1)
    bonus[relation, head, tail] = 1.0
    return bonus


def test_equal_scores_give_the_mean_rank() -> None:
    found = rank(GivenScores(table("equal", 2 * R)), GRAPH, known=raw(GRAPH))
    for side in SIDES:
        assert found.ranks[side].tolist() == [(N + 1) / 2] * len(GRAPH.test)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "types"), [(ComplEx, 3), (ComplEx, 6), (HyboNet, 6)])
def test_a_collapsed_model_has_the_mean_rank(kind: Any, types: int, dtype: torch.dtype) -> None:
    """All entities alike: no score is above another, whatever the last bits of a matrix product."""
    size = 1003
    graph = random_graph(size, 3, count=400)
    torch.manual_seed(0)
    model = kind(size, types, 32).to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("node_emb", "head_bias", "tail_bias")):
                weight.copy_(weight[:1].clone())
    found = rank(model, graph, known=raw(graph))
    for side in SIDES:
        assert found.ranks[side].tolist() == [(size + 1) / 2] * len(graph.test)


def test_counts_are_exact_for_low_precision_scores() -> None:
    size = 701  # which bfloat16 does not have, nor 301
    names = [f"e{i}" for i in range(size)], ["r0"]
    graph = KnowledgeGraph("half", torch.tensor([[0, 0, 1]]), GRAPH.valid[:0], torch.tensor([[5, 0, 699]]), *names)
    scores = torch.ones(2, size, size, dtype=torch.bfloat16)
    scores[0, 5, 300:601] = 2
    found = rank(GivenScores(scores), graph)
    assert (int(found.best["tail"]), int(found.worst["tail"])) == (302, 701)
    assert (int(found.best["head"]), int(found.worst["head"])) == (1, 701)


MODELS = [ComplEx, DistMult, RotatE, TransE, HyboNet]


def all_scores(model: KGEModel, types: int) -> Tensor:
    """Float64 scores [types, N, N] by the model's own ``forward``."""
    grid = torch.cartesian_prod(torch.arange(N), torch.arange(types), torch.arange(N))
    with torch.no_grad():
        return model(*grid.unbind(1)).view(N, types, N).transpose(0, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("types", [R, 2 * R])
@pytest.mark.parametrize("kind", MODELS)
def test_models_are_ranked_by_their_forward(kind: type[KGEModel], types: int, protocol: str) -> None:
    torch.manual_seed(1)
    model = kind(N, types, 6).double()
    expected = naive_ranks(all_scores(model, types), GRAPH, "test", protocol)
    assert as_lists(rank(model, GRAPH, protocol=protocol)) == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_of_turned_relations_are_ranked_by_the_reciprocal_triples(protocol: str) -> None:
    """Relation 0 is turned, 2 is the other way about; the table that the naive ranks look into is turned as well."""
    torch.manual_seed(1)
    model = HyboNet(N, 2 * R, 6, score_by="functional").double()
    model.turned.copy_(torch.tensor([number in (0, 2 + R) for number in range(2 * R)]))
    scores = all_scores(model, 2 * R)
    turned = scores.clone()
    for relation in (0, 2 + R):
        turned[relation] = scores[(relation + R) % (2 * R)].T
    expected = naive_ranks(turned, GRAPH, "test", protocol)
    assert expected != naive_ranks(scores, GRAPH, "test", protocol)
    assert as_lists(rank(model, GRAPH, protocol=protocol)) == expected
    model.turned.fill_(True)
    turned = scores.roll(R, 0).mT
    assert as_lists(rank(model, GRAPH, protocol=protocol)) == naive_ranks(turned, GRAPH, "test", protocol)


@pytest.mark.parametrize("kind", [ComplEx, DistMult, RotatE, TransE])
def test_raw_tail_ranks_agree_with_pyg(kind: type[KGEModel]) -> None:
    """PyG's ``test``: unfiltered, tails only, ranks from 0 in ``mr`` and from 1 in ``mrr``."""
    torch.manual_seed(2)
    model = kind(N, R, 6).double()
    mean_rank, mrr, hits = model.test(*GRAPH.test.unbind(1), batch_size=5, k=3, log=False)
    found = rank(model, GRAPH, known=raw(GRAPH)).metrics()["tail"]
    assert found["mr"] == pytest.approx(mean_rank + 1, rel=1e-6)
    assert found["mrr"] == pytest.approx(mrr, rel=1e-6)
    assert found["hits@3"] == pytest.approx(hits)


@pytest.mark.parametrize("types", [R, 2 * R])
@pytest.mark.parametrize("kind", [ComplEx, HyboNet])
def test_entities_in_pieces_give_the_same_ranks(monkeypatch: pytest.MonkeyPatch, kind: Any, types: int) -> None:
    graph = random_graph(150, 3, count=300)
    model = kind(150, types, 6)
    whole = rank(model, graph)
    monkeypatch.setattr(score_blocks, "_PARTS_LIMIT", 600)
    monkeypatch.setattr(score_blocks, "_CHUNK", 600)
    monkeypatch.setattr(score_blocks, "_QUERIES", 10)
    assert as_lists(rank(model, graph, block=7)) == as_lists(whole)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("types", [R, 2 * R])
def test_scores_that_are_no_numbers_are_refused(types: int, bad: float) -> None:
    head, relation, tail = GRAPH.test[0].tolist()
    for where in (tail, (tail + 1) % N, head):  # the true entity, others, and perhaps a known one
        scores = table("distinct", types)
        scores[relation, head, where] = bad
        with pytest.raises(NonFiniteScoreError, match=r"NaN or infinity in \d+ of the 38 queries of the test") as error:
            rank(GivenScores(scores), GRAPH)
        assert isinstance(error.value, ValueError)
        assert isinstance(error.value, NonFiniteError)


def test_the_error_counts_the_queries() -> None:
    scores = table("distinct", 2 * R)
    scores[:, 2, 9] = torch.nan  # every query that gives entity 2
    given = with_reciprocals(GRAPH.valid, R)[:, 0]
    expected = int((given == 2).sum())
    assert expected > 0
    with pytest.raises(NonFiniteScoreError, match=f"in {expected} of the 30 queries of the valid split of random"):
        rank(GivenScores(scores), GRAPH, "valid")


def test_a_known_but_bad_score_is_refused_although_it_is_no_candidate() -> None:
    graph = KnowledgeGraph("one", torch.tensor([[0, 0, 1]]), GRAPH.valid[:0], torch.tensor([[0, 0, 2]]), *_names(1))
    scores = table("distinct", 2)
    scores[0, 0, 1] = torch.nan
    with pytest.raises(NonFiniteScoreError, match="in 1 of the 2 queries"):
        rank(GivenScores(scores), graph)


class Constant(KGEModel):
    """Pairwise scores that share one number's memory."""

    def query(self, head_index: Tensor, rel_type: Tensor) -> tuple[Tensor, ...]:
        return (head_index[:, None],)

    def candidates(self, tail_index: Tensor | None = None) -> tuple[Tensor, ...]:
        return (torch.arange(self.num_nodes)[:, None] if tail_index is None else tail_index[:, None],)

    def pairwise(self, query: tuple[Tensor, ...], candidates: tuple[Tensor, ...]) -> Tensor:
        return torch.zeros(()).expand(len(query[0]), len(candidates[0]))

    pointwise = pairwise


def test_shared_memory_is_not_overwritten() -> None:
    found = rank(Constant(N, 2 * R, 2), GRAPH)
    assert as_lists(found) == naive_ranks(torch.zeros(2 * R, N, N), GRAPH, "test", "standard")


def test_the_model_is_evaluated_in_evaluation_mode_and_left_as_it_was() -> None:
    class Noisy(GivenScores):
        def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
            scores = super().forward(head_index, rel_type, tail_index)
            return torch.nn.functional.dropout(scores, 0.5, self.training)

    model = Noisy(table("distinct", 2 * R))
    before = model.table.detach().clone()
    expected = naive_ranks(before, GRAPH, "test", "standard")
    for training in (True, False):
        model.train(training)
        assert as_lists(rank(model, GRAPH)) == expected
        assert model.training is training
    assert model.table.detach().equal(before)
    assert model.table.grad is None


def test_only_what_is_known_is_left_out() -> None:
    scores = table("distinct", 2 * R)
    known = {tuple(triple) for triple in GRAPH.train.tolist()}
    train_only = KnownTails(with_reciprocals(GRAPH.train, R), N, 2 * R)
    found = as_lists(rank(GivenScores(scores), GRAPH, known=train_only))
    assert found == naive_ranks(scores, GRAPH, "test", "standard", known)
    assert found != as_lists(rank(GivenScores(scores), GRAPH))


def test_the_triples_come_back_in_their_order() -> None:
    assert rank(GivenScores(table("ties", R)), GRAPH).triples.equal(GRAPH.test)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (DistMult(N + 1, R, 2), {}, "expected a model of 13 entities and 3 or, with reciprocal ones, 6 relation types"),
        (DistMult(N, R + 1, 2), {}, "found 13 and 4; was it trained on random?"),
        (DistMult(N, R, 2), {"protocol": "pessimistic"}, "among standard, hybonet, found 'pessimistic'"),
        (DistMult(N, R, 2), {"block": 0}, "expected block >= 1, found 0"),
        (DistMult(N, R, 2), {"split": "dev"}, "expected split train, valid or test, found 'dev'"),
    ],
)
def test_what_does_not_fit_is_refused(model: KGEModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        rank(model, GRAPH, **options)
    assert message in str(error.value)


def test_an_empty_split_is_refused() -> None:
    graph = KnowledgeGraph("bare", GRAPH.train, GRAPH.valid[:0], GRAPH.test, *_names(R))
    with pytest.raises(ValueError, match="expected triples in the valid split of bare, found none"):
        rank(DistMult(N, R, 2), graph, "valid")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("types", [R, 2 * R])
def test_ranks_on_a_gpu(types: int) -> None:
    for kind in MODELS:
        torch.manual_seed(1)
        model = kind(N, types, 6).double()
        expected = as_lists(rank(model, GRAPH))
        assert as_lists(rank(model.cuda(), GRAPH)) == expected
