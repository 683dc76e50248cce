from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from gsam.checkpoints import Checkpoints
from gsam.datasets import NodeDataset, load_nodes, save_folder
from gsam.fewshot import (
    GPN,
    ClassSplit,
    EpisodeError,
    FewShotConfig,
    FewShotRun,
    History,
    LinearProbe,
    PreparedData,
    PreparedGraph,
    ProtoLaplacian,
    SGCPrototype,
    SplitError,
    TunedPrototype,
    accuracy,
    baseline_embedding,
    evaluate,
    load_episodes,
)
from gsam.fewshot import run as run_module
from gsam.fewshot.registry import LINES, METHODS
from tests.fewshot.toy import FEATURES
from tests.resume import assert_resumes

CONFIG = FewShotConfig(
    "toy",
    optimizer="sam",
    ways=3,
    shots=2,
    queries=4,
    split="3,3,3",
    seeds=(2, 0),
    episodes=12,
    validate_every=5,
    validation_episodes=3,
    test_episodes=6,
)


def records(config: FewShotConfig, data: NodeDataset, folder: Path | None = None) -> list[dict[str, Any]]:
    run = FewShotRun(config, data)
    return [run.record(seed, folder=folder and folder / str(seed)) for seed in config.seeds]


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if "seconds" not in key}


def test_results_have_what_the_contract_promises(data: NodeDataset) -> None:
    found = records(CONFIG, data)
    results = FewShotRun(CONFIG, data).results(found)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    promised = {
        *("dataset", "method", "optimizer", "setting", "hyperparameters", "accuracy_mean", "accuracy_ci95"),
        *("seconds_per_200_episodes", "baseline", "per_seed", "environment"),
    }
    assert promised <= results.keys()
    assert (results["dataset"], results["method"], results["optimizer"]) == ("toy", "gpn", "sam")
    assert results["setting"] == {"ways": 3, "shots": 2, "queries": 4, "split": "3,3,3"}
    assert results["hyperparameters"] == CONFIG.hyperparameters
    assert results["hyperparameters"]["rho"] == 0.05
    assert {"sgc_prototype", "linear_probe", "proto_laplacian"} <= results["baseline"].keys()
    assert len(results["baseline"]) == len(LINES)
    assert [r["seed"] for r in results["per_seed"]] == [2, 0]
    for record in results["per_seed"]:
        assert {"seed", "test_accuracy", "val_accuracy", "episodes_run", "train_seconds"} <= record.keys()
        assert record["episodes_run"] == 12
        assert record["best_episode"] in (5, 10, 12)
        assert record["train_seconds"] > 0
        assert 0 <= record["test_accuracy"] <= 100
    assert {
        "gsam",
        "torch",
        "torch_geometric",
        "geoopt",
        "python",
        "device",
        "threads",
        "commit",
    } == results["environment"].keys()


def test_results_by_hand(data: NodeDataset) -> None:
    base = {"val_accuracy": 1.0, "episodes_run": 100, "baseline": {"sgc_prototype": 80.0, "linear_probe": 82.0}}
    found = [
        {**base, "seed": 0, "test_accuracy": 60.0, "train_seconds": 3.0},
        {**base, "seed": 1, "test_accuracy": 66.0, "train_seconds": 5.0, "episodes_run": 300},
    ]
    found[1]["baseline"] = {"sgc_prototype": 90.0, "linear_probe": 82.0}
    results = FewShotRun(CONFIG, data).results(found)
    assert results["accuracy_mean"] == 63.0
    assert results["accuracy_ci95"] == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(18) / math.sqrt(2))
    assert results["seconds_per_200_episodes"] == pytest.approx(4.0)  # 8 s for 400 episodes
    assert results["baseline"] == {"sgc_prototype": 85.0, "linear_probe": 82.0}
    assert results["baseline_ci95"]["linear_probe"] == 0.0
    single = FewShotRun(CONFIG, data).results(found[:1])
    assert single["accuracy_ci95"] is None
    json.dumps(single, allow_nan=False)


def test_every_method_and_optimizer_has_the_same_test_episodes(data: NodeDataset, monkeypatch) -> None:
    """The very tasks that are scored, by whatever scores them."""
    seen: list[list[list[int]]] = []
    real_accuracy, real_evaluate = run_module.accuracy, run_module.evaluate
    monkeypatch.setattr(
        run_module, "accuracy", lambda score, tasks: seen.append(nodes(tasks)) or real_accuracy(score, tasks)
    )
    monkeypatch.setattr(run_module, "evaluate", lambda *args: seen.append(nodes(args[-1])) or real_evaluate(*args))
    baselines = []
    for method, optimizer in (("gpn", "adam"), ("gpn", "fgsam+"), ("proto-net", "sam"), ("linear-probe", "adam")):
        config = replace(CONFIG, method=method, optimizer=optimizer, episodes=2)
        baselines.append(FewShotRun(config, data).record(2)["baseline"])
    assert len(seen) == 4 * len(LINES) + 3  # the baselines of each, and three trained methods
    assert all(tasks == seen[0] for tasks in seen)
    assert all(found == baselines[0] for found in baselines)
    other = nodes(FewShotRun(CONFIG, data).test_episodes(0))
    assert other != seen[0]


def nodes(tasks: Any) -> list[list[int]]:
    return [task.nodes.tolist() for task in tasks]


def test_baselines_are_the_public_ones(data: NodeDataset) -> None:
    run, embedding = FewShotRun(CONFIG, data), baseline_embedding(data)
    tasks = run.test_episodes(2)
    expected = {
        "sgc_prototype": accuracy(SGCPrototype(embedding).logits, tasks),
        "linear_probe": accuracy(LinearProbe(embedding).logits, tasks),
        "proto_laplacian": accuracy(ProtoLaplacian(embedding).logits, tasks),
    }
    assert expected.items() <= run.baselines(2).items()


def test_seeds_do_not_influence_each_other(data: NodeDataset) -> None:
    """A run of two seeds gives what two runs of one seed give, in any order, whatever was drawn before."""
    together = [without_time(r) for r in records(CONFIG, data)]
    torch.manual_seed(1234)
    torch.rand(10)
    alone = [without_time(records(replace(CONFIG, seeds=(seed,)), data)[0]) for seed in (0, 2)]
    assert together == alone[::-1]
    assert together[0] != together[1]


@pytest.mark.parametrize("method", LINES)
def test_baseline_alone(data: NodeDataset, tmp_path: Path, method: str) -> None:
    key = method.replace("-", "_")
    config = replace(CONFIG, method=method, optimizer="adam")
    found = records(config, data, tmp_path)
    results = FewShotRun(config, data).results(found)
    assert [r["test_accuracy"] for r in found] == [r["baseline"][key] for r in found]
    assert found[0]["baseline"] == records(CONFIG, data)[0]["baseline"]
    assert results["accuracy_mean"] == results["baseline"][key]
    assert results["optimizer"] is None
    assert results["hyperparameters"] == {}
    assert results["seconds_per_200_episodes"] == 0.0
    assert {r["val_accuracy"] for r in found} == {None}
    assert {p.name for p in (tmp_path / "2").iterdir()} == {"test_episodes.npz", "split.json", "record.json"}
    json.dumps(results, allow_nan=False)


def test_files(data: NodeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is in the folder of the seed, and enough to get the score again."""
    monkeypatch.chdir(tmp_path)
    (found,) = records(replace(CONFIG, seeds=(2,)), data, tmp_path / "out")
    names = {"history.json", "model.pt", "record.json", "split.json", "test_episodes.npz"}
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == {
        f"out/2/{name}" for name in names
    }
    folder = tmp_path / "out" / "2"
    assert json.loads((folder / "record.json").read_text()) == found
    method = GPN(FEATURES, hidden=16)
    method.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
    tasks = load_episodes(folder / "test_episodes.npz")
    assert evaluate(method, PreparedGraph.prepare(data), tasks) == found["test_accuracy"]
    split = ClassSplit.from_file(folder / "split.json")
    assert split == ClassSplit.random(9, (3, 3, 3), 2)
    assert {c for task in tasks for c in task.classes.tolist()} <= set(split.test)
    history = json.loads((folder / "history.json").read_text())
    assert history["episode"] == [5, 10, 12]
    assert max(history["val_accuracy"]) == found["val_accuracy"]
    assert history["seconds"][-1] == found["train_seconds"]


def test_nothing_is_written_without_a_folder(
    data: NodeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    records(CONFIG, data)
    assert not list(tmp_path.iterdir())


def test_validation_classes_choose_and_test_classes_are_not_seen(data: NodeDataset, monkeypatch) -> None:
    split = ClassSplit.random(9, (3, 3, 3), 2)
    seen: dict[str, set[int]] = {}

    def watch(method: Any, graph: Any, optimizer: Any, recipe: Any, sampler: Any, validation: Any, **_: Any) -> History:
        seen["train"] = {c for e in sampler.take(9) for c in e.classes.tolist()}
        seen["valid"] = {c for e in validation for c in e.classes.tolist()}
        return History([1], [1.0], [1.0], [1.0])

    monkeypatch.setattr(run_module, "meta_train", watch)
    FewShotRun(CONFIG, data).train(2)
    assert seen == {"train": set(split.train), "valid": set(split.valid)}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"shots": 5, "queries": 10}, EpisodeError),
        ({"ways": 4}, EpisodeError),
        ({"split": "4,4,4"}, SplitError),
        ({"split": "nowhere.json"}, SplitError),
        ({"split": "unknown"}, SplitError),
    ],
)
def test_refused_before_anything_is_computed(
    data: NodeDataset, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], error: type[Exception]
) -> None:
    monkeypatch.setattr(run_module, "meta_train", lambda *_, **__: pytest.fail("trained"))
    for name in ("graph", "embedding"):
        monkeypatch.setattr(PreparedData, name, lambda *_, **__: pytest.fail("computed something"))
    with pytest.raises(error, match="expected"):
        FewShotRun(replace(CONFIG, **change), data)


def test_baselines_choose_on_validation_tasks(data: NodeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are scored on those of the test; the two share no class."""
    chosen: list[Any] = []
    monkeypatch.setattr(TunedPrototype, "choose", lambda self, episodes: chosen.append(nodes(episodes)))
    run = FewShotRun(CONFIG, data)
    run.baselines(2)
    assert chosen == [nodes(run.validation_episodes(2))]
    seen = {int(c) for episode in run.validation_episodes(2) for c in episode.classes}
    assert not seen & {int(c) for episode in run.test_episodes(2) for c in episode.classes}


def test_sharing(data: NodeDataset) -> None:
    """Runs on the same prepared data compute graph and embedding once; results do not change."""
    shared = PreparedData(data)
    first, same = FewShotRun(CONFIG, shared), FewShotRun(replace(CONFIG, optimizer="adam"), shared)
    reference = first.record(2)
    assert same.graph is first.graph
    assert FewShotRun(replace(CONFIG, method="proto-net"), shared).graph is not first.graph
    same.record(2)
    assert without_time(first.record(2)) == without_time(FewShotRun(CONFIG, data).record(2)) == without_time(reference)


def test_progress_names_the_seed(data: NodeDataset) -> None:
    told: list[tuple[int, int]] = []
    FewShotRun(CONFIG, data).train(2, lambda seed, history: told.append((seed, history.episode[-1])))
    assert told == [(2, 5), (2, 10), (2, 12)]


@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_goes_on_from_its_checkpoints(
    data: NodeDataset, method: str, transductive: bool, tmp_path: Path
) -> None:
    """With what it chose on validation episodes, too."""
    options = {"transductive": True} if transductive else {}
    if transductive and "transductive" not in METHODS[method].options:
        pytest.skip("it has no transductive form")
    config = replace(CONFIG, method=method, optimizer="adam", seeds=(0,), validate_every=2, options=options)
    run = FewShotRun(config, data)
    scores = []

    def train(checkpoints: Checkpoints | None) -> tuple[torch.nn.Module, History]:
        trained = run.train(0, checkpoints=checkpoints)
        scores.append(trained.test_accuracy)
        found = run.build_method(0)
        found.load_state_dict(trained.state)
        return found, trained.history

    assert_resumes(train, tmp_path, lives=1)
    assert scores[0] == scores[-1]


@pytest.mark.parametrize("method", ["gpn", "residual-gnn", "amm-gnn", "tent"])
@pytest.mark.parametrize("limit", [None, 2])
def test_features_in_their_file_give_the_same_run(
    data: NodeDataset, tmp_path: Path, method: str, limit: int | None
) -> None:
    """Losses, accuracies, weights and all baselines, bit for bit."""
    config = replace(CONFIG, method=method, seeds=(0,), train_ways=3, max_neighbors=limit)
    save_folder(data, tmp_path / "toy")
    found = []
    for kind, source in (("memory", data), ("file", load_nodes(tmp_path / "toy"))):
        run = FewShotRun(config, source)
        record = run.record(0, folder=tmp_path / kind)
        history = json.loads((tmp_path / kind / "history.json").read_text())
        weights = torch.load(tmp_path / kind / "model.pt", weights_only=True)
        found.append((without_time(record), without_time(history), weights))
        assert run.results([record])["hyperparameters"]["max_neighbors"] == limit
        assert run.graph.max_neighbors == limit
    assert found[0][:2] == found[1][:2]
    assert all(torch.equal(weight, found[1][2][name]) for name, weight in found[0][2].items())


def test_a_run_with_max_neighbors_resumes(data: NodeDataset, tmp_path: Path) -> None:
    run = FewShotRun(replace(CONFIG, seeds=(0,), validate_every=2, max_neighbors=1), data)

    def train(checkpoints: Checkpoints | None) -> tuple[torch.nn.Module, History]:
        trained, found = run.train(0, checkpoints=checkpoints), run.build_method(0)
        found.load_state_dict(trained.state)
        return found, trained.history

    assert_resumes(train, tmp_path, lives=1)


def test_max_neighbors_trains_and_tests_on_the_same_blocks_again(data: NodeDataset) -> None:
    config = replace(CONFIG, max_neighbors=1, seeds=(0,))
    first, again = (FewShotRun(config, data).train(0) for _ in range(2))
    exact = FewShotRun(replace(config, max_neighbors=None), data).train(0)
    assert first.history.loss == again.history.loss
    assert first.test_accuracy == again.test_accuracy
    assert first.history.loss != exact.history.loss
