"""Lorentz SAM against Riemannian Adam and Riemannian SGD: HyboNet at equal numbers of epochs and at equal time.

A SAM step costs two passes, so "equal time" gives the others twice the epochs; the seconds they really took are in the
file. Learning rates come from a small search on validation MRR, `--search`, with seeds of its own. Each finished run
is kept in the results file, and a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import torch
from harness import RESULTS, save

from gsam.datasets import load_knowledge_graph
from gsam.fewshot import mean_ci95
from gsam.kg import KGConfig, KGRun, configure

OPTIMIZERS = ("lorentz-sam", "radam", "rsgd")
#: epochs of Lorentz SAM, which sets the budget
EPOCHS: Mapping[str, int] = {"wn18rr": 20, "fb15k-237": 8, "umls": 60, "kinship": 60}
NAME = "kg_optimizers"


def configuration(dataset: str, optimizer: str, budget: str, seed: int, chosen: Mapping[str, Any]) -> KGConfig:
    """A run of the preset with another optimizer, its learning rates and its budget."""
    epochs = EPOCHS[dataset] * (2 if budget == "time" and optimizer != "lorentz-sam" else 1)
    return configure(dataset, seed=seed, optimizer=optimizer, epochs=epochs, validate_every=epochs, **chosen)


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
        for seed in range(seeds)
        for dataset in datasets
        for optimizer in OPTIMIZERS
        for budget in (("epochs",) if optimizer == "lorentz-sam" else ("epochs", "time"))
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


def main() -> None:
    """Measure and save after each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", default=",".join(EPOCHS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", default=str(RESULTS.parent / "configs" / "kg_optimizers.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with open(options.settings) as file:
        settings = json.load(file)
    path = RESULTS / f"{NAME}.json"
    runs = json.loads(path.read_text())["runs"] if path.exists() else {}
    for dataset, optimizer, budget, seed in cells(options.datasets.split(","), options.seeds):
        key = f"{dataset}|{optimizer}|{budget}|{seed}"
        if key not in runs:
            chosen = settings[dataset][optimizer]
            runs[key] = run(configuration(dataset, optimizer, budget, seed, chosen))
            print(key, {name: round(value, 4) for name, value in runs[key].items()}, flush=True)
            differences = {
                f"{name}|{other}|{kind}": paired(runs, name, other, kind, options.seeds)
                for name in EPOCHS
                for other in OPTIMIZERS[1:]
                for kind in ("epochs", "time")
            }
            save(NAME, {"settings": settings, "epochs": dict(EPOCHS), "runs": runs, "paired": differences})


if __name__ == "__main__":
    main()
