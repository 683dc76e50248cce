from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import DistMult

from gsam.datasets import KnowledgeGraph, OfficialNegatives
from gsam.kg import ogb
from gsam.kg.ogb import official_scores, ogb_metrics

N, R, K = 11, 2, 4


class OneSided(torch.nn.Module):
    """A model that tells head from tail, with every score a whole number, so that there are ties."""

    def __init__(self, num_relations: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.nn.Parameter(torch.randint(0, 5, (num_relations, N, N), generator=generator).double())
        self.num_relations = num_relations

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        assert not self.training
        return self.table[rel_type, head_index, tail_index]


class NaiveEvaluator:
    """OGB's rule for ties, one triple at a time: the mean of the best and the worst place among equals."""

    def __init__(self, name: str) -> None:
        assert name == "ogbl-wikikg2"

    def eval(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        places = []
        for own, others in zip(scores["y_pred_pos"].tolist(), scores["y_pred_neg"].tolist(), strict=True):
            better, equal = sum(other > own for other in others), sum(other == own for other in others)
            places.append(1 + better + equal / 2)
        rank = torch.tensor(places)
        hits = {f"hits@{k}_list": (rank <= k).float() for k in (1, 3, 10)}
        return {"mrr_list": 1 / rank, **hits}


@pytest.fixture
def graph() -> KnowledgeGraph:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randint(0, N, shape, generator=generator)

    triples = torch.stack([draw(9), torch.arange(9) % R, draw(9)], dim=1)
    negatives = {"test": OfficialNegatives(draw(9, K), draw(9, K).to(torch.int32))}
    names = tuple(map(str, range(N)))
    return KnowledgeGraph("ogbl-wikikg2", triples, triples[:0], triples, names, ("r", "s"), negatives=negatives)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = types.ModuleType("ogb"), types.ModuleType("ogb.linkproppred")
    module.Evaluator = NaiveEvaluator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ogb", package)
    monkeypatch.setitem(sys.modules, "ogb.linkproppred", module)


def naive_places(model: OneSided, graph: KnowledgeGraph, side: str) -> list[float]:
    """Ranks by looking the scores up in the table; the second half of it holds the reciprocal relations."""
    reciprocal = model.num_relations == 2 * R
    places = []
    for row, (h, r, t) in enumerate(graph.test.tolist()):
        if side == "tail":
            own, others = (
                model.table[r, h, t],
                [model.table[r, h, x] for x in graph.negatives["test"].tails[row].long()],
            )
        elif reciprocal:
            own = model.table[r + R, t, h]
            others = [model.table[r + R, t, x] for x in graph.negatives["test"].heads[row]]
        else:
            own, others = model.table[r, h, t], [model.table[r, x, t] for x in graph.negatives["test"].heads[row]]
        places.append(1 + sum(float(x > own) + 0.5 * float(x == own) for x in others))
    return places


@pytest.mark.parametrize("relations", [R, 2 * R])
@pytest.mark.parametrize("at_once", [1, 7, 15, 1 << 18])
@pytest.mark.usefixtures("installed")
def test_metrics_equal_a_naive_count(
    relations: int, at_once: int, graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ogb, "_SCORES_AT_ONCE", at_once)
    model = OneSided(relations)
    found = ogb_metrics(model, graph)
    places = {side: naive_places(model, graph, side) for side in ("head", "tail")}
    places["both"] = places["head"] + places["tail"]
    assert len(set(places["head"])) > 3, "the model must tell the triples apart"
    for side, values in places.items():
        expected = {f"hits@{k}": sum(place <= k for place in values) / len(values) for k in (1, 3, 10)}
        expected |= {"mrr": sum(1 / place for place in values) / len(values), "count": len(values)}
        assert found[side] == pytest.approx(expected, rel=1e-6)
    assert model.training, "the mode is put back"


@pytest.mark.usefixtures("installed")
def test_pyg_models_are_ranked(graph: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    model = DistMult(N, R, 8)
    positive, negative = (
        torch.cat(parts) for parts in zip(*official_scores(model, graph, "test", "tail"), strict=True)
    )
    assert positive.shape == (9,)
    assert negative.shape == (9, K)
    model.eval()
    with torch.no_grad():
        h, r, _ = graph.test.T
        column = model(h, r, graph.negatives["test"].tails[:, 2].long())
    torch.testing.assert_close(negative[:, 2], column)
    assert 0 < ogb_metrics(model, graph)["both"]["mrr"] <= 1


@pytest.mark.usefixtures("installed")
def test_nan_is_refused_and_the_mode_put_back(graph: KnowledgeGraph) -> None:
    model = OneSided(R)
    with torch.no_grad():
        model.table[:, :, 3] = float("nan")
    with pytest.raises(ValueError, match="expected scores that are numbers, found NaN"):
        ogb_metrics(model, graph)
    assert model.training


def test_without_ogb_it_says_how_to_install_it(graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ogb", None)
    monkeypatch.setitem(sys.modules, "ogb.linkproppred", None)
    with pytest.raises(ImportError, match=r"expected the package ogb.*pip install ogb"):
        ogb_metrics(OneSided(R), graph)


@pytest.mark.parametrize(
    ("split", "side", "message"),
    [
        ("valid", "tail", "expected official negatives for 'valid' of ogbl-wikikg2, found those of: test"),
        ("test", "relation", "expected side head or tail, found 'relation'"),
        ("validation", "tail", "expected split train, valid or test"),
    ],
)
def test_what_there_is_not(split: str, side: str, message: str, graph: KnowledgeGraph) -> None:
    with pytest.raises(ValueError, match=message):
        next(official_scores(OneSided(R), graph, split, side))


def test_ogbs_own_evaluator_agrees(graph: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ogb", reason="the package ogb is not installed")
    own: Any = ogb_metrics(OneSided(R), graph)
    monkeypatch.setattr(ogb, "_evaluator", NaiveEvaluator)
    naive = ogb_metrics(OneSided(R), graph)
    for side in naive:
        assert own[side] == pytest.approx(naive[side], rel=1e-6)


def test_importing_it_imports_no_ogb() -> None:
    code = "import sys, gsam.kg.ogb; assert 'ogb' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
