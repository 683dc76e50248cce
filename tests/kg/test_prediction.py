"""Answers are the best-scored entities, in order, and say where they are known."""

import json
import math
import subprocess
import sys

import pytest
import torch
from torch_geometric.nn.kge import ComplEx, DistMult, KGEModel, RotatE, TransE

from gsam.datasets import DatasetError
from gsam.files import write_json
from gsam.kg import (
    KG_MODELS,
    KGRun,
    NonFiniteScoreError,
    build_model,
    configure,
    load_run,
    predict,
    save_graph,
)
from gsam.kg.prediction import open_for_prediction
from tests.kg.toy_graph import SIZE, toy_graph

GRAPH = toy_graph()
TRUE = {split: {tuple(triple) for triple in GRAPH.split(split).tolist()} for split in ("train", "valid", "test")}


def naive(model: KGEModel, triples: list[tuple[int, int, int]]) -> list[float]:
    """Scores of the triples one by one, by the model's own forward."""
    model.eval()
    with torch.no_grad():
        return [float(model(*(torch.tensor([number]) for number in triple))) for triple in triples]


def triples_of(entity: int, relation: int, side: str) -> list[tuple[int, int, int]]:
    if side == "tail":
        return [(entity, relation, other) for other in range(SIZE)]
    return [(other, relation, entity) for other in range(SIZE)]


def ask(model: KGEModel, entity: int, relation: int, side: str, **options) -> list:
    given = {"head": entity} if side == "tail" else {"tail": entity}
    return predict(model, GRAPH, relation=relation, **given, **options)


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("name", KG_MODELS)
def test_answers_are_the_best_of_all_scores_computed_one_by_one(name: str, side: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, SIZE, 4, 6).train()
    found = ask(model, 5, 2, side, top=SIZE, known=True)
    asked = triples_of(5, 2, "tail") if side == "tail" else [(5, 6, other) for other in range(SIZE)]
    scores = naive(model.train(), asked)
    assert [answer.index for answer in found] == sorted(range(SIZE), key=lambda index: -scores[index])
    assert [answer.score for answer in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert [answer.rank for answer in found] == list(range(1, SIZE + 1))
    assert [answer.entity for answer in found] == [f"e{answer.index}" for answer in found]


@pytest.mark.parametrize("side", ["head", "tail"])
def test_answers_of_a_turned_relation_have_the_scores_of_the_reciprocal_triples(side: str) -> None:
    torch.manual_seed(0)
    model = build_model("hybonet", SIZE, 4, 6, score_by="functional")
    asked = 2 if side == "tail" else 6
    model.turned[asked] = True
    found = ask(model, 5, 2, side, top=SIZE, known=True)
    scores = naive(model, [(other, 8 - asked, 5) for other in range(SIZE)])
    assert [answer.index for answer in found] == sorted(range(SIZE), key=lambda index: -scores[index])
    assert [answer.score for answer in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


@pytest.mark.parametrize("kind", [TransE, DistMult, ComplEx, RotatE])
def test_a_model_without_reciprocal_relations_is_asked_for_the_head_itself(kind: type[KGEModel]) -> None:
    torch.manual_seed(0)
    model = kind(SIZE, 4, 6)
    scores = naive(model, triples_of(3, 1, "head"))
    found = ask(model, 3, 1, "head", top=SIZE, known=True)
    assert [answer.score for answer in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_a_model_of_ours_without_reciprocal_relations_and_one_of_somebody_else() -> None:
    class Own(DistMult):
        """Not symmetric, and without a closed form."""

        def forward(self, head_index, rel_type, tail_index):
            found = self.node_emb(head_index) * self.rel_emb(rel_type) * self.node_emb(tail_index).exp()
            return found.sum(-1)

    torch.manual_seed(0)
    for model in (KG_MODELS["roth"](SIZE, 4, 6), Own(SIZE, 4, 6)):
        scores = naive(model, triples_of(3, 1, "head"))
        found = ask(model, 3, 1, "head", top=SIZE, known=True)
        assert [answer.score for answer in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_known_triples_are_left_out_or_say_where_they_are(side: str) -> None:
    torch.manual_seed(0)
    model = build_model("hybonet", SIZE, 4, 6)
    every = ask(model, 5, 2, side, top=SIZE, known=True)
    for answer, triple in ((answer, triples_of(5, 2, side)[answer.index]) for answer in every):
        assert answer.known == tuple(split for split in ("train", "valid", "test") if triple in TRUE[split])
    new = ask(model, 5, 2, side, top=SIZE)
    assert 0 < len(new) < SIZE
    assert [answer.index for answer in new] == [answer.index for answer in every if not answer.known]
    assert [answer.rank for answer in new] == list(range(1, len(new) + 1))
    assert not any(answer.known for answer in new)
    assert ask(model, 5, 2, side, top=3) == new[:3]


def test_names_and_numbers_ask_the_same_and_the_mode_is_put_back() -> None:
    model = build_model("hybonet", SIZE, 4, 6, dropout=0.5).train()
    by_name = predict(model, GRAPH, head="e5", relation="skip")
    assert model.training
    assert by_name == predict(model, GRAPH, head=5, relation=2)


def test_equal_scores_are_in_the_order_of_numbers() -> None:
    model = DistMult(SIZE, 4, 6)
    torch.nn.init.ones_(model.node_emb.weight)
    assert [answer.index for answer in ask(model, 5, 2, "tail", top=SIZE, known=True)] == list(range(SIZE))


def test_wrong_questions_are_refused() -> None:
    model = build_model("hybonet", SIZE, 4, 6)
    with pytest.raises(DatasetError, match="did you mean e17"):
        predict(model, GRAPH, head="E17", relation="skip")
    with pytest.raises(DatasetError, match="did you mean skip"):
        predict(model, GRAPH, tail="e1", relation="skipp")
    with pytest.raises(ValueError, match="both or neither"):
        predict(model, GRAPH, relation="skip")
    with pytest.raises(ValueError, match="both or neither"):
        predict(model, GRAPH, relation="skip", head=1, tail=2)
    with pytest.raises(ValueError, match="top >= 1"):
        predict(model, GRAPH, relation="skip", head=1, top=0)
    with pytest.raises(ValueError, match="0 to 23, found 24"):
        predict(model, GRAPH, relation="skip", head=24)
    with pytest.raises(ValueError, match="0 to 3, found -1"):
        predict(model, GRAPH, relation=-1, head=2)
    with pytest.raises(ValueError, match="trained on toy"):
        predict(build_model("hybonet", SIZE + 1, 4, 6), GRAPH, relation=1, head=2)


def test_nan_is_refused() -> None:
    model = build_model("distmult", SIZE, 4, 6)
    with torch.no_grad():
        model.node_emb.weight[7, 0] = math.nan
    with pytest.raises(NonFiniteScoreError, match="diverged"):
        predict(model, GRAPH, relation=1, head=2)


def test_answers_need_neither_pyg_nor_geoopt(tmp_path) -> None:
    """Importing them takes longer than everything else; only PyG's own models cannot do without."""
    for name in ("hybonet", "murp", "atth", "distmult"):
        run = KGRun(configure("toy", model=name, dim=6), GRAPH)
        write_json(tmp_path / "config.json", run.config.to_dict())
        save_graph(GRAPH, tmp_path)
        torch.save(run.build_model().state_dict(), tmp_path / "model.pt")
        heavy = ("torch_geometric", "geoopt", "scipy", "sklearn", "matplotlib", "networkx")
        code = f"""
import sys
from gsam.cli.app import app
app(["kg", "predict", "--run", {str(tmp_path)!r}, "--head", "e3", "--relation", "far", "--json"], standalone_mode=False)
print([module for module in {heavy!r} if module in sys.modules])
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
        *answer, modules = done.stdout.splitlines()
        assert (modules == "[]") == (name != "distmult"), (name, modules)
        expected = predict(load_run(tmp_path).model, GRAPH, head="e3", relation="far")
        assert json.loads("\n".join(answer)) == [{**vars(one), "known": []} for one in expected]


def test_a_run_opens_with_the_scores_it_had(tmp_path) -> None:
    run = KGRun(configure("toy", dim=6, epochs=2, batch_size=64, num_negatives=8), GRAPH)
    run.record(tmp_path)
    model, graph = open_for_prediction(tmp_path)
    trained, _ = run.train()
    for side in ("head", "tail"):
        given = {"head": "e3"} if side == "tail" else {"tail": "e3"}
        assert predict(model, graph, relation="far", **given) == predict(trained, GRAPH, relation="far", **given)
