from __future__ import annotations

import json
import os
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gsam.datasets import load
from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.files import OutputError
from gsam.kg import run as run_module
from gsam.kg.config import KGConfig
from gsam.kg.ranking import rank
from gsam.kg.run import KGRun, load_run
from tests.kg.toy_graph import SIZE, toy_graph

OPTIONS: dict[str, Any] = {"dim": 4, "epochs": 7, "validate_every": 3, "batch_size": 50, "num_negatives": 8}
CONFIG = KGConfig("toy", optimizer="lorentz-sam", rho=0.1, lr=0.02, **OPTIONS, options={"dropout": 0.1})
FIGURES = {"mrr", "mr", "hits@1", "hits@3", "hits@10", "count"}
TIMES = {"epoch_seconds_median", "train_seconds", "eval_seconds", "validation_seconds"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, KGRun(CONFIG, toy_graph()).record(folder)


def test_results_have_what_is_promised(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, results = finished
    assert json.loads((folder / "results.json").read_text()) == results
    assert results.keys() == {
        *("dataset", "model", "optimizer", "hyperparameters", "num_entities", "num_relations", "test", "valid"),
        "test_categories",
        *("protocol", "epochs_run", "environment", "test_hybonet", "seed", "best_epoch", "skipped_steps"),
        *TIMES,
    }
    expected = {"dataset": "toy", "model": "hybonet", "optimizer": "lorentz-sam", "seed": 0, "protocol": "standard"}
    assert results.items() >= {**expected, "num_entities": SIZE, "num_relations": 4, "epochs_run": 7}.items()
    assert results["best_epoch"] in (3, 6, 7)
    assert results["hyperparameters"].items() >= {"rho": 0.1, "dropout": 0.1, "margin": 8.0, "lr": 0.02}.items()
    for part in ("test", "valid", "test_hybonet"):
        assert results[part].keys() == {"both", "head", "tail"}
        assert all(results[part][side].keys() == FIGURES for side in results[part])
    assert results["test"]["both"]["count"] == 2 * len(toy_graph().test)
    assert all(results[name] > 0 for name in TIMES)


def test_figures_are_those_of_the_kept_weights(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, results = finished
    opened = load_run(folder)
    for split, protocol, key in (
        ("test", "standard", "test"),
        ("valid", "standard", "valid"),
        ("test", "hybonet", "test_hybonet"),
    ):
        assert rank(opened.model, toy_graph(), split, protocol=protocol).metrics() == results[key]
    history = json.loads((folder / "history.json").read_text())
    assert history["epoch"] == [3, 6, 7]
    assert max(history["mrr"]) == results["valid"]["both"]["mrr"]
    assert history["epoch"][history["mrr"].index(max(history["mrr"]))] == results["best_epoch"]
    assert results["epoch_seconds_median"] == statistics.median(history["epoch_seconds"])
    assert results["train_seconds"] == pytest.approx(sum(history["epoch_seconds"]))


def test_an_opened_run_scores_bit_for_bit(tmp_path: Path) -> None:
    for name in ("hybonet", "murp", "atth", "complex", "rotate"):
        run = KGRun(KGConfig("toy", name, **{**OPTIONS, "epochs": 1}), toy_graph())
        model, history = run.train()
        (tmp_path / name).mkdir()
        run_module.save_run(tmp_path / name, run, model.state_dict(), history)
        opened = load_run(tmp_path / name)
        head = torch.arange(SIZE)
        expected = model(head, head % 8, head.flip(0))
        assert torch.equal(opened.model(head, head % 8, head.flip(0)), expected)
        assert opened.config == run.config
        assert not opened.model.training
        assert opened.results == {}


def test_the_graph_comes_with_the_run(finished: tuple[Path, dict[str, Any]]) -> None:
    opened = KGRun.open(finished[0])
    assert opened.graph.entities == toy_graph().entities
    assert torch.equal(opened.graph.train, toy_graph().train)
    assert opened.results == finished[1]


def test_same_seed_same_everything(finished: tuple[Path, dict[str, Any]]) -> None:
    torch.manual_seed(99)
    again = KGRun(CONFIG, toy_graph()).record()
    assert {k: v for k, v in again.items() if k not in TIMES} == {
        k: v for k, v in finished[1].items() if k not in TIMES
    }
    other = KGRun(replace(CONFIG, seed=1), toy_graph()).record()
    assert other["test"] != again["test"]


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    KGRun(replace(CONFIG, epochs=1), toy_graph()).record()
    assert not list(tmp_path.iterdir())


def test_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "rank"):
        monkeypatch.setattr(run_module, name, lambda *_, **__: pytest.fail("computed something"))
    for split in ("train", "valid", "test"):
        graph = toy_graph(**{split: toy_graph().train[:0]})
        with pytest.raises(ValueError, match=f"expected {split} triples in toy, found none"):
            KGRun(CONFIG, graph)


def test_folders_that_are_no_runs(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"found no config\.json; check --run"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    with pytest.raises(OutputError, match=r"found no model\.pt"):
        load_run(tmp_path)
    for name in ("model.pt", "graph.json", "triples.npz"):
        (tmp_path / name).write_bytes((finished[0] / name).read_bytes())
    load_run(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"no weights")
    with pytest.raises(OutputError, match="expected weights of the model hybonet"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**asdict(CONFIG), "model": "gone"}))
    with pytest.raises(OutputError, match=r"expected the configuration of a run .* a model among"):
        load_run(tmp_path)


@pytest.fixture
def umls() -> KnowledgeGraph:
    root = os.environ.get("GSAM_DATA")
    if not root or not (Path(root) / "UMLS").is_dir():
        pytest.skip("raw files of umls are not here: set GSAM_DATA to a folder with UMLS")
    return load("umls")


def test_real_data(umls: KnowledgeGraph) -> None:
    """135 entities: guessing gives an MRR of about .05, the published models about .9."""
    options: Any = {"dim": 16, "epochs": 4, "validate_every": 4, "batch_size": 500, "loss": "softmax", "lr": 0.05}
    results = KGRun(KGConfig("umls", **options), umls).record()
    assert results["test"]["both"]["mrr"] > 0.7
    assert results["test"]["both"]["count"] == 1322


def test_a_relation_without_training_triples_is_no_hindrance() -> None:
    """It is in the vocabulary, and in a test triple; the figures by category leave that out."""
    toy = toy_graph()
    extra = torch.tensor([(0, toy.num_relations, 1)])
    graph = replace(toy, relations=[*toy.relations, "never", "nowhere"], test=torch.cat([toy.test, extra]))
    results = KGRun(replace(CONFIG, epochs=2), graph).record()
    assert results["test"]["both"]["count"] == 2 * len(toy.test) + 2
    assert sum(found["both"]["count"] for found in results["test_categories"].values()) == 2 * len(toy.test)
