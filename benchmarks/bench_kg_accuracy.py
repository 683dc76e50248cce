"""The default preset of HyboNet on a public data set: filtered figures in both protocols, and the state of the points.

``python benchmarks/bench_kg_accuracy.py wn18rr`` takes about an hour on one core.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from harness import save
from torch import Tensor

from gsam.datasets import load_knowledge_graph
from gsam.kg import PROTOCOLS, HyboNet, KGConfig, KGRun, TrainingHistory, configure, rank
from gsam.manifolds import lorentz_math


def configuration(options: argparse.Namespace) -> KGConfig:
    """The preset, and what the command line changes."""
    chosen = {"seed": options.seed, "optimizer": options.optimizer, "epochs": options.epochs}
    return configure(options.dataset, **chosen, **json.loads(options.settings))


def told(history: TrainingHistory) -> None:
    """Print each validation."""
    if history.epoch and history.epoch[-1] == len(history.epoch_seconds):
        print(history.epoch[-1], f"{history.seconds[-1]:.0f} s", round(history.mrr[-1], 4), flush=True)


def off_the_hyperboloid(points: Tensor, c: float) -> float:
    """Largest relative error of the time coordinate against the one recomputed in float64."""
    exact = lorentz_math.lift(points[:, 1:].double(), c)
    return float(((points.double() - exact)[:, 0].abs() / exact[:, 0]).max())


def measure(config: KGConfig) -> dict[str, Any]:
    """Train, rank in both protocols, by relation and by category."""
    run = KGRun(config, load_knowledge_graph(config.dataset))
    model, history = run.train(told)
    assert isinstance(model, HyboNet)
    ranking = rank(model, run.graph, "test", known=run.known)
    results = run.results(model, history)
    for key in ("environment", "num_entities", "num_relations"):
        results.pop(key)
    asked = {}
    if model.turned is not None and bool(model.turned.any()):
        model.turned.zero_()
        asked = {
            name: rank(model, run.graph, "test", protocol=name, known=run.known).metrics()["both"] for name in PROTOCOLS
        }
    return {
        **results,
        "test_scored_as_asked": asked,
        "test_per_category": ranking.per_category(run.graph),
        "test_per_relation": ranking.per_relation(run.graph),
        "all_parameters_finite": all(bool(p.isfinite().all()) for p in model.parameters()),
        "largest_relative_error_of_time": off_the_hyperboloid(model.node_emb.weight.detach(), float(model.manifold.c)),
        "history": {"epoch": history.epoch, "seconds": history.seconds, "mrr": history.mrr, "loss": history.loss},
    }


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", help="wn18rr, fb15k-237, ...")
    parser.add_argument("--optimizer", help="in place of the preset's")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="other fields of KGConfig, as JSON")
    parser.add_argument("--name", help="of the file in results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(configuration(options))
    print("standard", found["test"]["both"], "hybonet", found["test_hybonet"]["both"], sep="\n")
    save(options.name or f"kg_accuracy_{options.dataset}", found)


if __name__ == "__main__":
    main()
