"""Training time until a validation MRR on WN18RR: the library's HyboNet against the plain one, in the same process.

Both are trained for so many epochs, validated by the same ranking, and timed without it. The plain one has the
published settings (50 gathered negatives a triple, dense Riemannian Adam of geoopt); it may take a quarter of an hour.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import save
from plain_hybonet import PlainHyboNet, PlainTraining

from gsam.datasets import KnowledgeGraph, load_knowledge_graph
from gsam.kg import HyboNet, KGRun, TrainingHistory, configure, rank


def ours(graph: KnowledgeGraph, target: float, epochs: int, seed: int) -> dict[str, Any]:
    """Seconds until the target with the default preset, its schedule shortened to ``epochs``."""
    config = configure(graph.name, epochs=epochs, validate_every=1, seed=seed, optimizer="radam")
    _, history = KGRun(config, graph).train(told("gsam"))
    reached = [i for i, mrr in enumerate(history.mrr) if mrr >= target]
    place = reached[0] if reached else history.best
    return {
        "seconds": history.seconds[place],
        "epochs": history.epoch[place],
        "mrr": history.mrr[place],
        "reached": bool(reached),
        "seconds_per_epoch": history.seconds[-1] / history.epoch[-1],
    }


def told(name: str) -> Callable[[TrainingHistory], None]:
    """Prints each validation."""
    return lambda history: print(name, history.epoch[-1], f"{history.seconds[-1]:.0f} s", round(history.mrr[-1], 4))


def plain(graph: KnowledgeGraph, target: float, epochs: int, every: int, seed: int) -> dict[str, Any]:
    """Seconds until the target with the plain version."""
    torch.manual_seed(seed)
    model = HyboNet(graph.num_entities, 2 * graph.num_relations, 32)
    naive = PlainHyboNet(model)
    training = PlainTraining(naive, graph)
    seconds, mrr, epoch = 0.0, 0.0, 0
    while mrr < target and epoch < epochs:
        started = time.perf_counter()
        training.epoch()
        seconds, epoch = seconds + time.perf_counter() - started, epoch + 1
        if epoch % every == 0 or epoch == epochs:
            naive.copy_to(model)
            mrr = rank(model, graph, "valid").metrics()["both"]["mrr"]
            print("plain", epoch, f"{seconds:.0f} s", round(mrr, 4), flush=True)
    return {
        "seconds": seconds,
        "epochs": epoch,
        "mrr": mrr,
        "reached": mrr >= target,
        "seconds_per_epoch": seconds / epoch,
    }


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="wn18rr")
    parser.add_argument("--target", type=float, default=0.40)
    parser.add_argument("--epochs", type=int, default=10, help="of the library's schedule")
    parser.add_argument("--plain-epochs", type=int, default=150, help="at most")
    parser.add_argument("--every", type=int, default=5, help="epochs between validations of the plain version")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    graph = load_knowledge_graph(options.dataset)
    fast = ours(graph, options.target, options.epochs, options.seed)
    slow = plain(graph, options.target, options.plain_epochs, options.every, options.seed)
    ratio = slow["seconds"] / fast["seconds"]
    print(f"{ratio:.1f} times faster")
    save("kg_time_to_mrr", {"target": options.target, "gsam": fast, "plain": slow, "ratio": ratio})


if __name__ == "__main__":
    main()
