"""Large graphs on one CPU, each in a process of its own: seconds and peak memory.

``kg``: a random graph of 2.5 million entities; HyboNet with 200 coordinates an entity trains one epoch over a million
triples and their reciprocals and ranks both sides of 500 test triples among all entities. ``nodes``: a random graph of
a million nodes; 200 episodes of few-shot training.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from bench_scaling import CLASSES, FEATURES, random_dataset
from harness import peak_memory_gib, save

from gsam.datasets import KnowledgeGraph
from gsam.fewshot import GPN, EpisodeSampler, PreparedGraph, train_step
from gsam.kg import KGRun, configure, rank
from gsam.optim.recipes import recipe

ENTITIES, RELATIONS, TRIPLES, DIM, RANKED = 2_500_000, 50, 1_000_000, 199, 500
NODES, EPISODES = 1_000_000, 200


def random_graph(shrink: int) -> KnowledgeGraph:
    """Triples drawn at random, with a few entities in most of them."""
    rng, entities = np.random.default_rng(0), ENTITIES // shrink

    def triples(count: int) -> torch.Tensor:
        head, tail = (rng.random((2, count)) ** 2 * entities).astype(np.int64)
        return torch.from_numpy(np.stack([head, rng.integers(RELATIONS, size=count), tail], 1))

    return KnowledgeGraph(
        name=f"random-{entities}",
        train=triples(TRIPLES // shrink),
        valid=triples(RANKED),
        test=triples(RANKED),
        entities=[f"e{i}" for i in range(entities)],
        relations=[f"r{i}" for i in range(RELATIONS)],
    )


def knowledge_graph(shrink: int) -> dict[str, Any]:
    """One epoch and one ranking."""
    run = KGRun(configure("random", dim=DIM, epochs=1, optimizer="radam"), random_graph(shrink))
    started = time.perf_counter()
    model, history = run.train()
    trained = time.perf_counter()
    found = rank(model, run.graph, "test", known=run.known).metrics()["both"]
    return {
        "entities": run.graph.num_entities,
        "triples": len(run.graph.train),
        "coordinates": DIM + 1,
        "epoch_seconds": history.epoch_seconds[0],
        "train_seconds_with_validation": trained - started,
        "queries": found["count"],
        "ranking_seconds": time.perf_counter() - trained,
        "mrr_is_finite": found["mrr"] > 0,
    }


def nodes(shrink: int) -> dict[str, Any]:
    """Training episodes on a graph of a million nodes."""
    dataset = random_dataset(NODES // shrink)
    started = time.perf_counter()
    graph = PreparedGraph.prepare(dataset)
    prepared = time.perf_counter()
    sampler = EpisodeSampler(dataset.labels, range(CLASSES), n_way=5, k_shot=3, m_query=10, seed=0)
    torch.manual_seed(0)
    method, chosen = GPN(FEATURES), recipe("fgsam+")
    optimizer = chosen.build(method.parameters(), lr=5e-3)
    for episode in sampler.take(EPISODES):
        train_step(method, graph.inputs(episode), optimizer, chosen)
    return {
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "features": FEATURES,
        "optimizer": "fgsam+",
        "episodes": EPISODES,
        "prepare_seconds": prepared - started,
        "train_seconds": time.perf_counter() - prepared,
    }


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"kg": knowledge_graph, "nodes": nodes}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="measure it in this process and print it")
    parser.add_argument("--shrink", type=int, default=1, help="divide sizes by this; nothing is saved unless it is 1")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part:
        print(json.dumps({**PARTS[options.part](options.shrink), "peak_memory_gib": peak_memory_gib()}))
        return
    figures = {}
    for part in PARTS:
        command = [sys.executable, __file__, "--part", part, "--shrink", str(options.shrink)]
        figures[part] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(part, figures[part], flush=True)
    if options.shrink == 1:
        save("large", figures)


if __name__ == "__main__":
    main()
