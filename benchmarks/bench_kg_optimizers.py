"""Lorentz SAM against Riemannian Adam and Riemannian SGD: HyboNet at equal numbers of epochs and at equal time.

A SAM step costs two passes, so "equal time" gives the others twice the epochs; the seconds they really took are in the
file. Every run keeps the weights of the best of four validations. Of the settings in configs/kg_optimizers.json each
optimizer takes those with the best validation MRR in a run of its own seed. Each finished run is kept in the results
file, and a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, save

from gsam.datasets import load_knowledge_graph
from gsam.evaluation import mean_ci95
from gsam.kg import KGConfig, KGRun, configure

OPTIMIZERS = ("lorentz-sam", "radam", "rsgd")
#: epochs of Lorentz SAM, which sets the budget
EPOCHS: Mapping[str, int] = {"umls": 160, "kinship": 80, "wn18rr": 12, "fb15k-237": 6}
VALIDATIONS = 4
NAME, SEARCH_SEED = "kg_optimizers", 100

Runs = dict[str, dict[str, Any]]


def configuration(dataset: str, optimizer: str, budget: str, seed: int, chosen: Mapping[str, Any]) -> KGConfig:
    """A run of the preset with another optimizer, its learning rates and its budget."""
    epochs = EPOCHS[dataset] * (2 if budget == "time" and optimizer != "lorentz-sam" else 1)
    return configure(
        dataset, seed=seed, optimizer=optimizer, epochs=epochs, validate_every=max(1, epochs // VALIDATIONS), **chosen
    )


def run(config: KGConfig) -> dict[str, float]:
    """Figures of one run."""
    prepared = KGRun(config, load_knowledge_graph(config.dataset))
    model, history = prepared.train()
    results = prepared.results(model, history)
    return {
        "valid_mrr": results["valid"]["both"]["mrr"],
        "test_mrr": results["test"]["both"]["mrr"],
        "test_hits@10": results["test"]["both"]["hits@10"],
        "train_seconds": results["train_seconds"],
        "epochs": results["epochs_run"],
    }


def cells(datasets: list[str], seeds: int) -> list[tuple[str, str, str, int]]:
    """Data set, optimizer, budget and seed of every run; Lorentz SAM's budgets are the same run."""
    return [
        (dataset, optimizer, budget, seed)
        for dataset in datasets
        for optimizer in OPTIMIZERS
        for budget in (("epochs",) if optimizer == "lorentz-sam" else ("epochs", "time"))
        for seed in range(seeds)
    ]


def paired(runs: Mapping[str, Mapping[str, float]], dataset: str, other: str, budget: str, seeds: int) -> Any:
    """Mean and 95 % interval of the difference of test MRR, Lorentz SAM less the other, over seeds."""
    differences = []
    for seed in range(seeds):
        pair = f"{dataset}|lorentz-sam|epochs|{seed}", f"{dataset}|{other}|{budget}|{seed}"
        if all(key in runs for key in pair):
            differences.append(runs[pair[0]]["test_mrr"] - runs[pair[1]]["test_mrr"])
    if len(differences) < 2:
        return None
    mean, interval = mean_ci95(differences)
    return {"mean": mean, "ci95": interval, "seeds": len(differences)}


class Table:
    """The finished runs, on disk after each.

    Args:
        settings: of each data set and optimizer, what to choose among.
        seeds: how many.
    """

    def __init__(self, settings: Mapping[str, Mapping[str, list[dict[str, Any]]]], seeds: int) -> None:
        self.settings, self.seeds = settings, seeds
        path = RESULTS / f"{NAME}.json"
        self.runs: Runs = json.loads(path.read_text())["runs"] if path.exists() else {}

    def run(self, key: str, config: KGConfig) -> dict[str, Any]:
        """The figures of a run, made if they are not there."""
        if key not in self.runs:
            self.runs[key] = run(config)
            print(key, {name: round(value, 4) for name, value in self.runs[key].items()}, flush=True)
            self.save()
        return self.runs[key]

    def chosen(self, dataset: str, optimizer: str) -> dict[str, Any]:
        """The settings with the best validation MRR; if there is one only, it is taken without a run."""
        candidates, found = self.settings[dataset][optimizer], []
        if len(candidates) == 1:
            return candidates[0]
        for number, settings in enumerate(candidates):
            config = configuration(dataset, optimizer, "epochs", SEARCH_SEED, settings)
            found.append((self.run(f"{dataset}|{optimizer}|search {number}|{SEARCH_SEED}", config), settings))
        return max(found, key=lambda pair: pair[0]["valid_mrr"])[1]

    def save(self) -> None:
        """Write the results file."""
        differences = {
            f"{dataset}|{other}|{budget}": paired(self.runs, dataset, other, budget, self.seeds)
            for dataset in EPOCHS
            for other in OPTIMIZERS[1:]
            for budget in ("epochs", "time")
        }
        save(NAME, {"settings": self.settings, "epochs": dict(EPOCHS), "runs": self.runs, "paired": differences})


def main() -> None:
    """Measure and save after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", default=",".join(EPOCHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", type=Path, default=Path(__file__).parent / "configs" / "kg_optimizers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(json.loads(options.settings.read_text()), options.seeds)
    for dataset, optimizer, budget, seed in cells(options.datasets.split(","), options.seeds):
        config = configuration(dataset, optimizer, budget, seed, table.chosen(dataset, optimizer))
        table.run(f"{dataset}|{optimizer}|{budget}|{seed}", config)


if __name__ == "__main__":
    main()
