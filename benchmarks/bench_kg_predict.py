"""Seconds that ``gsam kg predict`` takes beyond importing torch, each in a process of its own.

The run has the size of the data set and the initial weights of its model: what was learnt changes no time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import alternating_minima, save

from gsam.datasets import KnowledgeGraph, load_knowledge_graph
from gsam.files import write_json
from gsam.kg import KGRun, configure, save_graph


def small_graph() -> KnowledgeGraph:
    """Two hundred made-up triples."""
    triples = torch.randint(5, (200, 3), generator=torch.Generator().manual_seed(0))
    return KnowledgeGraph.from_triples(triples, triples[:9], triples[9:18], name="made-up")


def write_run(graph: KnowledgeGraph, model: str, dim: int, folder: Path) -> None:
    """What :meth:`gsam.kg.KGRun.record` keeps of a run, before training."""
    run = KGRun(configure(graph.name, model=model, dim=dim), graph)
    write_json(folder / "config.json", run.config.to_dict())
    save_graph(graph, folder)
    torch.save(run.build_model().state_dict(), folder / "model.pt")


def python(*arguments: str) -> None:
    """Run this Python on something."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def measure(graph: KnowledgeGraph, model: str, dim: int, rounds: int) -> dict[str, Any]:
    """Seconds of one question about the first test triple, and of importing torch alone."""
    head, relation, _ = graph.test[0].tolist()
    question = ("--head", graph.entities[head], "--relation", graph.relations[relation])
    with tempfile.TemporaryDirectory() as folder:
        write_run(graph, model, dim, Path(folder))
        predict = partial(python, "-m", "gsam", "kg", "predict", "--run", folder, *question)
        tasks: dict[str, Callable[[], Any]] = {
            "import torch": partial(python, "-c", "import torch"),
            "predict": predict,
        }
        seconds = alternating_minima(tasks, rounds)
    return {"seconds": seconds, "beyond_importing_torch": seconds["predict"] - seconds["import torch"]}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="wn18rr")
    parser.add_argument("--models", default="hybonet,murp,atth", help="separated by commas")
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="a small made-up graph, one round, nothing is written")
    options = parser.parse_args()
    graph = small_graph() if options.smoke else load_knowledge_graph(options.dataset)
    rounds, figures = 1 if options.smoke else options.rounds, {}
    for model in options.models.split(","):
        figures[model] = measure(graph, model, options.dim, rounds)
        print(model, {name: round(value, 2) for name, value in figures[model]["seconds"].items()})
    if not options.smoke:
        save(f"kg_predict_{graph.name}", {"entities": graph.num_entities, "dim": options.dim, "models": figures})


if __name__ == "__main__":
    main()
