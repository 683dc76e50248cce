"""Node classification on heterophilic graphs: Adam, SAM, FGSAM and FGSAM+ on the ten published splits of eight graphs.

Learning rate and radius are chosen for each graph and optimizer on the validation nodes of the first two splits, out of
six candidates each. The test nodes are scored once, with the chosen values, beside a line that sees no graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch
from harness import median, save

from gsam.datasets import NodeDataset, load_nodes
from gsam.fewshot import NonFiniteError, mean_ci95
from gsam.nodes import NODE_MODELS, NodesConfig, NodesRun
from gsam.report import markdown, with_interval

DATASETS = (
    *("actor", "texas", "wisconsin", "cornell"),
    *("chameleon-filtered", "squirrel-filtered", "minesweeper", "tolokers"),
)
_CLIMBING: list[dict[str, Any]] = [{"lr": lr, "rho": rho} for lr, rho in product((0.003, 0.01, 0.03), (0.01, 0.1))]
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "adam": [{"lr": lr} for lr in (0.001, 0.002, 0.005, 0.01, 0.02, 0.03)],  # as many as the others have
    "sam": _CLIMBING,
    "fgsam": _CLIMBING,
    "fgsam+": _CLIMBING,
}
Values = dict[str, Any]


class Setting(NamedTuple):
    """What all runs on a graph have in common."""

    dataset: str
    model: str
    epochs: int

    def run(self, optimizer: str, chosen: Values, seeds: Sequence[int]) -> NodesRun:
        """A run, ready; validated every fourth epoch, stopped after 60 epochs without a better validation."""
        fixed: dict[str, Any] = {"epochs": self.epochs, "validate_every": 4, "patience": 15}
        config = NodesConfig(self.dataset, self.model, optimizer, seeds=tuple(seeds), **fixed, **chosen)
        return NodesRun(config, loaded(self.dataset))


@lru_cache(maxsize=1)
def loaded(name: str) -> NodeDataset:
    """A graph, kept until the process turns to another one."""
    return load_nodes(name)


def validation(setting: Setting, optimizer: str, chosen: Values, seeds: Sequence[int]) -> float | None:
    """Mean validation score of a candidate in percent; ``None`` if its training diverged."""
    run = setting.run(optimizer, chosen, seeds)
    try:
        return sum(run.train(seed).val for seed in seeds) / len(seeds)
    except NonFiniteError:
        return None


def tested(setting: Setting, chosen: dict[str, Values], seed: int) -> dict[str, Any]:
    """Test scores and seconds per epoch of all optimizers on one split, one after the other, and the baseline's."""
    found: dict[str, Any] = {"test": {}, "seconds_per_epoch": {}}
    for optimizer, values in chosen.items():
        run = setting.run(optimizer, values, (seed,))
        trained = run.train(seed)
        found["test"][optimizer] = trained.test
        found["seconds_per_epoch"][optimizer] = trained.history.seconds[-1] / trained.history.epoch[-1]
    return {**found, "features_only": run.baseline(seed), "metric": run.metric}


def choose(pool: Executor, settings: list[Setting], seeds: Sequence[int]) -> list[dict[str, list[dict[str, Any]]]]:
    """For each graph and optimizer the candidates with their validation scores."""
    tasks = [(s, name, chosen) for s in settings for name, found in CANDIDATES.items() for chosen in found]
    futures = [pool.submit(validation, *task, seeds) for task in tasks]
    tables: dict[Setting, dict[str, list[dict[str, Any]]]] = {s: {name: [] for name in CANDIDATES} for s in settings}
    for (setting, name, chosen), future in zip(tasks, futures, strict=True):
        tables[setting][name].append({**chosen, "validation": future.result()})
    return [tables[setting] for setting in settings]


def best(candidates: list[dict[str, Any]]) -> Values:
    """The values of the first candidate with the best validation score.

    Raises:
        NonFiniteError: all of them diverged.
    """
    finite = [row for row in candidates if row["validation"] is not None]
    if not finite:
        raise NonFiniteError(f"expected a candidate that can be trained, found that all of {len(candidates)} diverged")
    winner = max(finite, key=lambda row: row["validation"])
    return {name: value for name, value in winner.items() if name != "validation"}


def summary(tables: dict[str, list[dict[str, Any]]], chosen: dict[str, Values], found: list[dict[str, Any]]) -> Any:
    """The figures of one graph from its candidates and its splits."""
    rows = {}
    for name in chosen:
        scores = [split["test"][name] for split in found]
        gains = [split["test"][name] - split["test"]["adam"] for split in found]
        ratios = [split["seconds_per_epoch"][name] / split["seconds_per_epoch"]["adam"] for split in found]
        mean, interval = mean_ci95(scores)
        rows[name] = {
            "test_mean": mean,
            "test_ci95": interval,
            "paired_difference_to_adam": mean_ci95(gains),
            "time_ratio_to_adam": median(ratios),
            "chosen": chosen[name],
            "test": scores,
            "candidates": tables[name],
        }
    line = mean_ci95([split["features_only"] for split in found])
    baseline = {"test_mean": line[0], "test_ci95": line[1]}
    return {"metric": found[0]["metric"], "optimizers": rows, "features_only": baseline}


def table(results: dict[str, Any]) -> list[str]:
    """A Markdown table: score, and below Adam the difference to it."""
    header, rows = ["data", "metric", *CANDIDATES, "features only"], []
    for name, found in results.items():
        cells = []
        for optimizer, row in found["optimizers"].items():
            gain = with_interval(*row["paired_difference_to_adam"], sign=True)
            cells.append(f"{row['test_mean']:.2f} ({gain})" if optimizer != "adam" else _score(row))
        rows.append([name, found["metric"], *cells, _score(found["features_only"])])
    return markdown(header, rows).splitlines()


def _score(row: dict[str, Any]) -> str:
    return with_interval(row["test_mean"], row["test_ci95"])


def measure(pool: Executor, settings: list[Setting], seeds: Sequence[int]) -> dict[str, Any]:
    """Choose, then test; the figures by graph."""
    tables = choose(pool, settings, seeds[:2])
    chosen = [{name: best(rows) for name, rows in found.items()} for found in tables]
    futures = [[pool.submit(tested, s, c, seed) for seed in seeds] for s, c in zip(settings, chosen, strict=True)]
    results = {}
    for number, setting in enumerate(settings):
        found = [future.result() for future in futures[number]]
        results[setting.dataset] = summary(tables[number], chosen[number], found)
        print("\n".join(table({setting.dataset: results[setting.dataset]})[2:]), flush=True)
    return results


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--model", default="sage", choices=list(NODE_MODELS))
    parser.add_argument("--seeds", type=int, default=10, help="splits 0, 1, ...; the first two choose")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = [Setting(name, options.model, options.epochs) for name in options.datasets]
    spawn = get_context("spawn")
    with ProcessPoolExecutor(options.workers, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = measure(pool, settings, range(options.seeds))
    lines = table(results)
    print("\n".join(lines))
    save(f"heterophilic_{options.model}", {"model": options.model, "table": lines, "results": results})


if __name__ == "__main__":
    main()
