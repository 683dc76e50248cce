"""The figures on the pages are those of the result files, each with its source; the arithmetic against scipy."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.docs.test_reference import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import figure_files
import figures
import figures_fewshot
import figures_kg
import figures_training

LINES = ("sgc_prototype", "linear_probe", "tuned_prototype", "proto_laplacian")
SEEDS = (0, 1, 2, 3, 4)
TASKS = (("cora", "5w3s"), ("wordnet", "5w3s"), ("cora", "5w1s"))


# -- the pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_pages_are_up_to_date(page: Path) -> None:
    assert len(figures.MARKS.findall(page.read_text())) == 1
    assert figures.filled(page) == page.read_text(), "run: python benchmarks/figures.py"


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_every_source_names_command_machine_and_commit(page: Path) -> None:
    sources = [line for line in figures.section(page).splitlines() if line.startswith("- ")]
    optional = [path for path in figure_files.RESULTS.glob("kg_*.json") if not path.stem.startswith("kg_optimizers")]
    compared = figures_kg.optimizers()  # a comparison that is under way may have nothing to show yet
    of_graphs = len(optional) + sum(line.startswith("- ") for line in compared)
    of_graphs += sum(figures_training.there(name) for name in figures_training.NAMES)
    assert len(sources) == {"README.md": 8, "honest_numbers.md": 11}[page.name] + of_graphs
    for line in sources:
        path = re.search(r"`(benchmarks/results/[^`]+)`", line)
        assert path
        found = json.loads((ROOT / path[1]).read_text())
        assert found["command"] in line
        assert not re.search(r"\s/", found["command"]), "a command that names a folder of one machine repeats nowhere"
        assert found["environment"]["commit"] in line
        assert found["environment"]["device"].removeprefix("cpu: ") in line


def test_all_results_are_read_and_described() -> None:
    """Each file of results/ stands in the index of the benchmarks; what makes one for a page is a script of ours."""
    described = (ROOT / "benchmarks" / "README.md").read_text()
    for command in figure_files.COMMANDS.values():
        assert (ROOT / command.split()[1]).exists()
    patterns = {re.sub(r"<\w+>", ".+", name) for name in re.findall(r"`([\w<>]+)\.json`", described)}
    for path in figure_files.RESULTS.glob("*.json"):
        assert any(re.fullmatch(pattern, path.stem) for pattern in patterns), f"no script writes {path.name}"


def test_a_missing_file_names_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_files, "RESULTS", tmp_path)
    for name, command in figure_files.COMMANDS.items():
        with pytest.raises(FileNotFoundError, match=rf"{name}.json, found none; run: {re.escape(command)}$"):
            figure_files.result(name)


# -- training that survives, on made-up results ------------------------------------------------------------------------


def test_killed_runs_and_faults_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {
        key: {"kills": 20, "identical": same} for key, same in (("fewshot", 20), ("nodes", 19), ("kg", 18))
    }
    found["faults"] = {"truncated": {"as_it_should": True}, "full disk": {"as_it_should": False}}
    monkeypatch.setattr(figures_training, "result", lambda _: found)
    monkeypatch.setattr(figures_training, "source", str)
    text = " ".join(figures_training.resume())
    assert "20 of 20 `fewshot run`, 19 of 20 `nodes run`, 18 of 20 `kg train`" in text
    assert "1 of 2 (truncated)" in text


def test_steps_and_large_graphs_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = {"against_base": {"rsam": 2.0, "lorentz-sam": 1.914}}
    kg = {"entities": 2_500_000, "coordinates": 200, "triples": 10**6, "epoch_seconds": 99.6, "queries": 1000}
    nodes = {"nodes": 10**6, "edges": 10**7, "features": 128, "episodes": 200, "optimizer": "fgsam+"}
    nodes |= {"train_seconds": 1.26, "prepare_seconds": 20.4, "peak_memory_gib": 2.04, "max_neighbors": 10}
    soak = {"trainings": 7, "minutes": 15.0, "mib_a_minute": 0.123, "last_mib": 456.7, "bound": 1.0, "flat": True}
    found = {
        "riemannian_step": {"dataset": "wn18rr", "row-sparse": ratios, "dense": ratios},
        "large": {
            "kg": {**kg, "ranking_seconds": 60.0, "peak_memory_gib": 9.96},
            "nodes": nodes,
            "arxiv": {**nodes, "nodes": 169_343, "max_neighbors": None},
        },
        "soak": {"fewshot": {**soak, "mib_a_minute": -0.5}, "kg": soak},
    }
    monkeypatch.setattr(figures_training, "result", found.__getitem__)
    monkeypatch.setattr(figures_training, "source", str)
    assert "row-sparse: `rsam` 2.00, `lorentz-sam` 1.91; dense: `rsam`" in " ".join(figures_training.riemannian_step())
    text = " ".join(figures_training.large())
    for words in (
        "2,500,000 entities",
        "in 100 s",
        "at most 10.0 GiB",
        "1,000,000 nodes, 10,000,000 edges",
        "take 1.3 s",
    ):
        assert words in text
    assert text.index("exact blocks") < text.index("at most 10 neighbours of a node")
    text = " ".join(figures_training.soak())
    assert "7 few-shot trainings in 15 minutes, -0.50 MiB a minute in the second half at 457 MiB; 7 know" in text
    assert "The bound is 1 MiB a minute: kept." in text
    found["soak"]["fewshot"]["flat"] = False
    assert "a minute: not kept." in " ".join(figures_training.soak())


# -- few-shot accuracy, on made-up results ----------------------------------------------------------------------------


def grid(optimizers: tuple[str, ...], *, tasks: Any = TASKS) -> list[dict[str, Any]]:
    """Cells as a bench writes them, with random accuracies."""
    draw = np.random.default_rng(len(optimizers))
    found = []
    for dataset, setting in tasks:
        lines = {line: draw.uniform(40, 60, len(SEEDS)) for line in LINES}
        for optimizer in optimizers:
            scores = draw.uniform(50, 70, len(SEEDS))
            records = [
                {"seed": s, "test_accuracy": scores[i], "baseline": {k: v[i] for k, v in lines.items()}}
                for i, s in enumerate(SEEDS)
            ]
            mean, half = interval(scores)
            found.append(
                {
                    "cell": {"dataset": dataset, "setting": setting, "method": "residual-gnn", "optimizer": optimizer},
                    "setting": {"ways": int(setting[0]), "shots": int(setting[2]), "queries": 10, "split": "3,2,2"},
                    "accuracy_mean": mean,
                    "accuracy_ci95": half,
                    "baseline": {k: v.mean() for k, v in lines.items()},
                    "baseline_ci95": {k: interval(v)[1] for k, v in lines.items()},
                    "seconds_per_200_episodes": draw.uniform(1, 3),
                    "per_seed": records[::-1] if optimizer == "adam" else records,  # the order must not count
                }
            )
    return found


def interval(values: Any) -> tuple[float, float]:
    """Mean and half-width of the 95 % t interval, by scipy."""
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float((low + high) / 2), float((high - low) / 2)


def scores(cell: dict[str, Any], line: str | None = None) -> np.ndarray:
    """Accuracies in the order of the seeds: ``[seeds]``."""
    rows = sorted(cell["per_seed"], key=lambda record: record["seed"])
    return np.array([row["test_accuracy"] if line is None else row["baseline"][line] for row in rows])


def text(values: Any) -> str:
    return "{:+.2f} ± {:.2f}".format(*interval(values))


def test_rows_of_the_preset() -> None:
    results = grid(("adam", "fgsam+"))
    rows = figures_fewshot.difference_rows(results, (*figures_fewshot.LINES_OF[False], "adam"))
    pairs = [(results[i + 1], results[i]) for i in range(0, len(results), 2)]
    everything = []
    for row, (ours, adam), (dataset, setting) in zip(rows[:-1], pairs, TASKS, strict=True):
        others = [*(scores(ours, line) for line in LINES[:3]), scores(adam)]
        everything.append([scores(ours) - other for other in others])
        accuracy = "{:.2f} ± {:.2f}".format(*interval(scores(ours)))
        assert row[:4] == [dataset, "3/2/2", f"{setting[0]}-way {setting[2]}-shot", accuracy]
        assert row[4:] == [*map(text, everything[-1])]
    # [cells, columns, seeds]: the mean over cells comes first, the interval is over seeds
    means = np.array(everything).mean(0)
    assert rows[-1] == ["mean", "", "", "", *map(text, means)]
    for name, mean in zip((*figures_fewshot.LINES_OF[False], "adam"), means, strict=True):
        clear = stats.ttest_1samp(mean, 0.0).pvalue < 0.05
        assert (
            figures_fewshot.overall(results, name)
            == f"{text(mean)} points (the interval {'excludes' if clear else 'includes'} 0)"
        )


def test_only_lines_of_its_kind_stand_beside_a_method() -> None:
    assert figures_fewshot.LINES_OF == {
        False: ("sgc-prototype", "linear-probe", "tuned-prototype"),
        True: ("proto-laplacian",),
    }
    results = grid(("fgsam+",))  # of a grid without Adam
    gain = np.mean([scores(cell) - scores(cell, "proto_laplacian") for cell in results], axis=0)
    assert figures_fewshot.difference_rows(results, figures_fewshot.LINES_OF[True])[-1][4:] == [text(gain)]


def test_times_of_the_preset_belong_to_their_settings() -> None:
    """Whatever the order in the file of times."""
    ratios = dict(zip(TASKS, (0.5, 0.754, 1.25), strict=True))
    cells = [{"dataset": d, "setting": s, "over_adam": {"fgsam+": ratios[d, s]}} for d, s in reversed(TASKS)]
    found = figures_fewshot.preset_times({"cells": cells}, grid(("adam", "fgsam+")))
    assert found == ["0.50", "0.75", "1.25", f"{2.504 / 3:.2f}"]


def test_rows_of_the_optimizers() -> None:
    names = ("adam", "sam", "fgsam")
    results = grid(names, tasks=TASKS[:2])
    rows = figures_fewshot.optimizer_rows(results)
    assert [row[0] for row in rows[:3]] == list(names)
    assert rows[0][2] == rows[0][4] == ""
    for number, row in enumerate(rows[1:3], start=1):
        for task in (0, 1):
            ours, adam = results[3 * task + number], results[3 * task]
            accuracy = "{:.2f} ± {:.2f}".format(*interval(scores(ours)))
            assert row[1 + 2 * task : 3 + 2 * task] == [accuracy, text(scores(ours) - scores(adam))]
    assert [row[0].split(" (")[0].split(",")[0] for row in rows[3:]] == [line.replace("_", "-") for line in LINES]
    assert rows[5][3] == "{:.2f} ± {:.2f}".format(*interval(scores(results[3], "tuned_prototype")))
    assert ["transductive" in row[0] for row in rows[3:]] == [False, False, False, True]


def test_other_seeds_are_refused() -> None:
    adam, ours = grid(("adam", "fgsam+"), tasks=TASKS[:1])
    del ours["per_seed"][0]
    with pytest.raises(ValueError, match=r"expected the same seeds everywhere, found \[0, 1, 2, 3, 4\] and \[1, 2"):
        figures_fewshot.gains(ours, adam)
    with pytest.raises(ValueError, match="expected the same seeds everywhere"):
        figures_fewshot.average([{0: 1.0, 1: 2.0}, {0: 1.0, 2: 2.0}])


# -- ordinary node classification -------------------------------------------------------------------------------------


def graph(alone: float, **differences: tuple[float, float]) -> dict[str, Any]:
    """The figures of a graph: Adam has 50 %, the others differ by so much, with such an interval."""
    rows = {"adam": (0.0, 0.0), **differences}
    return {
        "metric": "accuracy",
        "features_only": {"test_mean": alone, "test_ci95": 0.5},
        "optimizers": {
            name: {"test_mean": 50 + mean, "test_ci95": 1.0, "paired_difference_to_adam": [mean, half], "test": [50.0]}
            for name, (mean, half) in rows.items()
        },
    }


def test_heterophilic_figures() -> None:
    results = {
        "texas": graph(50.5, sam=(1.0, 0.5), fgsam=(-1.0, 2.0)),
        "actor": graph(51.0, sam=(-0.6, 0.5), fgsam=(0.2, 0.5)),
        "cornell": graph(40.0, sam=(0.5, 0.4), fgsam=(3.0, 2.9)),
    }
    assert figures.clear_differences(results, "sam") == (2, 1)
    assert figures.clear_differences(results, "fgsam") == (1, 0)
    assert figures.features_win(results) == 1  # of texas it is below SAM, of actor above all
    row = ["texas", "accuracy", "50.00 ± 1.00", "51.00 ± 1.00 (+1.00 ± 0.50)", "49.00 ± 1.00 (-1.00 ± 2.00)"]
    assert figures.heterophilic_rows(results)[0] == [*row, "50.50 ± 0.50"]


# -- knowledge graphs, on made-up results -----------------------------------------------------------------------------

PLACE = {
    "command": "python benchmarks/bench_kg.py",
    "date": "2026-01-01",
    "environment": {"device": "cpu: a processor", "threads": 1, "torch": "2", "commit": "abc"},
}


def ranks(mrr: float) -> dict[str, Any]:
    figures_of_side = {"mrr": mrr, "hits@1": 0.1, "hits@3": 0.2, "hits@10": 0.3, "count": 1056}
    return {"both": figures_of_side, "head": {**figures_of_side, "mrr": 0.9}, "tail": {**figures_of_side, "mrr": 0.9}}


def kg_accuracy(dataset: str) -> dict[str, Any]:
    return {
        **PLACE,
        "dataset": dataset,
        "model": "hybonet",
        "optimizer": "lorentz-sam",
        "seed": 3,
        "hyperparameters": {"dim": 32},
        "test": ranks(0.25),
        "test_hybonet": ranks(0.35),
        "test_per_category": {"1-N": ranks(0.125)},
        "epochs_run": 150,
        "best_epoch": 140,
        "train_seconds": 3000.0,
        "epoch_seconds_median": 20.0,
        "eval_seconds": 3.5,
        "skipped_steps": 0,
        "all_parameters_finite": True,
        "largest_relative_error_of_time": 1.2e-7,
    }


def kg_runs(datasets: tuple[str, ...], seeds: int) -> dict[str, dict[str, float]]:
    """Runs as the comparison writes them, with random figures."""
    draw = np.random.default_rng(seeds)
    places = [("lorentz-sam", "epochs"), *figures_kg.RIVALS]
    return {
        f"{data}|{name}|{budget}|{seed}": {"test_mrr": draw.uniform(0.3, 0.4), "train_seconds": draw.uniform(10, 20)}
        for seed in range(seeds)
        for data in datasets
        for name, budget in places
    }


def test_nothing_is_said_of_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_files, "RESULTS", tmp_path)
    assert figures_kg.knowledge_graphs() == figures_kg.knowledge_graphs_summary() == []
    (tmp_path / "kg_optimizers.json").write_text(json.dumps({**PLACE, "runs": {}, "epochs": {"umls": 60}}))
    assert figures_kg.knowledge_graphs() == []
    (tmp_path / "kg_accuracy_umls.json").write_text(json.dumps(kg_accuracy("umls")))
    lines = figures_kg.knowledge_graphs()
    assert "| umls | hybonet | 32 | lorentz-sam | 3 | standard | asked | .250 | .100 | .200 | .300 |" in lines
    assert "| umls | hybonet | 32 | lorentz-sam | 3 | hybonet | asked | .350 | .100 | .200 | .300 |" in lines
    assert "| umls | 1-N | 1,056 | .125 | .300 |" in lines
    assert "| umls | 32 | 150, 140 | 50 | 20.00 | 3.50 | 0 | yes | 1e-07 |" in lines
    assert not any("Published" in line for line in lines)  # there are none on these data
    assert [line for line in lines if line.startswith("- ")] == [figure_files.source("kg_accuracy_umls")]


def test_figures_by_either_direction_and_of_a_long_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights scored as usual stand beside those scored by the reciprocal triples."""
    found = kg_accuracy("umls")
    found["hyperparameters"]["score_by"] = "functional"
    found["test_scored_as_asked"] = {"standard": ranks(0.2)["both"], "hybonet": ranks(0.3)["both"]}
    (tmp_path / "kg_accuracy_umls.json").write_text(json.dumps(found))
    history = {"epoch": [130, 140, 150], "mrr": [0.1, 0.275, 0.2]}
    (tmp_path / "kg_long_umls.json").write_text(json.dumps({**found, "history": history}))
    monkeypatch.setattr(figure_files, "RESULTS", tmp_path)
    lines = figures_kg.knowledge_graphs_summary()
    rows = [line.split(" | ")[5:8] for line in lines if line.startswith("| umls")]
    assert rows == [
        ["standard", "functional", ".250"],
        ["hybonet", "functional", ".350"],
        ["standard", "asked", ".200"],
        ["hybonet", "asked", ".300"],
    ]
    said = next(line for line in lines if line.startswith("150 epochs"))
    assert "parameters finite, 0 steps skipped, and points within 1e-07" in said
    assert "validation MRR .275, test MRR in the protocol `hybonet` .350" in said
    sources = [figure_files.source(name) for name in ("kg_accuracy_umls", "kg_long_umls")]
    assert [line for line in lines if line.startswith("- ")] == sources


def test_seconds_of_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"seconds": {"import torch": 1.5, "predict": 2.25}, "beyond_importing_torch": 0.75}
    found = {**PLACE, "entities": 40943, "dim": 32, "models": {"murp": row}}
    (tmp_path / "kg_predict_wn18rr.json").write_text(json.dumps(found))
    monkeypatch.setattr(figure_files, "RESULTS", tmp_path)
    line = figures_kg.knowledge_graphs()[0]
    assert "40,943 entities, d = 32" in line
    assert "murp 0.75 s (import of torch 1.50 s)" in line


def test_published_figures_stand_beside_their_data_only() -> None:
    rows = figures_kg.published({"wn18rr"})
    assert "| wn18rr | RotH | 32 | Chami et al., 2020 | all | .473 |  |  | .551 |" in rows
    assert not any("fb15k" in row for row in rows)


def test_rows_of_lorentz_sam() -> None:
    runs = kg_runs(("umls", "kinship"), 3)
    rows = figures_kg.optimizer_rows(runs)
    everything = []
    for row, data in zip(rows, ("umls", "kinship"), strict=False):
        ours = np.array([runs[f"{data}|lorentz-sam|epochs|{s}"]["test_mrr"] for s in range(3)])
        theirs = [
            np.array([runs[f"{data}|{name}|{budget}|{s}"]["test_mrr"] for s in range(3)])
            for name, budget in figures_kg.RIVALS
        ]
        everything.append([100 * (ours - other) for other in theirs])
        assert row == [data, "3", f"{100 * ours.mean():.2f}", *map(text, everything[-1])]
    assert rows[2] == ["mean", "", "", *map(text, np.mean(everything, axis=0))]


def test_a_seed_counts_where_all_its_runs_are_there() -> None:
    runs = kg_runs(("umls", "kinship"), 3)
    del runs["umls|rsgd|time|1"]
    rows = figures_kg.optimizer_rows(runs)
    assert [row[:2] for row in rows] == [["umls", "2"], ["kinship", "3"]]  # and no mean over other seeds


@pytest.mark.parametrize("reached", [True, False])
def test_a_target_that_was_not_reached_is_said_to_be(
    reached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"seconds": 100.0, "epochs": 5, "mrr": 0.41, "reached": True, "seconds_per_epoch": 20.0}
    found = {**PLACE, "target": 0.4, "gsam": row, "plain": {**row, "seconds": 900.0, "reached": reached}, "ratio": 9.0}
    (tmp_path / "kg_time_to_mrr.json").write_text(json.dumps(found))
    monkeypatch.setattr(figure_files, "RESULTS", tmp_path)
    lines = figures_kg.to_mrr()
    assert ("at least 9.0 times faster" in lines[0]) is not reached
    assert any("900 (not reached)" in line for line in lines) is not reached
