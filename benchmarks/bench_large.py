"""Large graphs on one CPU, each in a process of its own: seconds and peak memory.

``arxiv``: a random graph of the size of ogbn-arxiv; 200 episodes of few-shot training on exact blocks, and 100 of a
test. ``nodes``: the same on one of a million nodes, with at most 10 in-edges of a node. In both a few nodes are in most
edges and the features stay in their file. ``kg``: a random graph of 2.5 million entities; HyboNet with 200 coordinates
an entity trains one epoch over a million triples and their reciprocals and ranks both sides of 500 test triples among
all entities.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import peak_memory_gib, save

from gsam.datasets import KnowledgeGraph, NodeDataset, load_nodes
from gsam.fewshot import GPN, EpisodeSampler, PreparedGraph, evaluate, train_step
from gsam.kg import KGRun, configure, rank
from gsam.optim.recipes import recipe

ENTITIES, RELATIONS, TRIPLES, DIM, RANKED = 2_500_000, 50, 1_000_000, 199, 500
FEATURES, CLASSES, EPISODES, TESTED = 128, 40, 200, 100


def random_graph(entities: int, train: int, ranked: int) -> KnowledgeGraph:
    """Triples drawn at random, with a few entities in most of them."""
    rng = np.random.default_rng(0)

    def triples(count: int) -> torch.Tensor:
        head, tail = (rng.random((2, count)) ** 2 * entities).astype(np.int64)
        return torch.from_numpy(np.stack([head, rng.integers(RELATIONS, size=count), tail], 1))

    return KnowledgeGraph(
        name=f"random-{entities}",
        train=triples(train),
        valid=triples(ranked),
        test=triples(ranked),
        entities=[f"e{i}" for i in range(entities)],
        relations=[f"r{i}" for i in range(RELATIONS)],
    )


def knowledge_graph(shrink: int) -> dict[str, Any]:
    """One epoch and one ranking."""
    graph = random_graph(ENTITIES // shrink, TRIPLES // shrink, RANKED)
    run = KGRun(configure("random", dim=DIM, epochs=1, optimizer="radam"), graph)
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


def stored_dataset(folder: Path, num_nodes: int, num_edges: int) -> NodeDataset:
    """A random graph, its edges taken in both directions, with dense features that stay in their file."""
    rng = np.random.default_rng(0)
    ends = (rng.random((2, num_edges)) ** 2 * num_nodes).astype(np.int64)
    np.save(folder / "edge_index.npy", np.concatenate([ends, ends[::-1]], axis=1))
    np.save(folder / "labels.npy", rng.integers(CLASSES, size=num_nodes))
    features = np.lib.format.open_memmap(
        folder / "features.npy", mode="w+", dtype=np.float32, shape=(num_nodes, FEATURES)
    )
    for part in np.array_split(features, 1 + num_nodes // 50_000):
        part[:] = rng.standard_normal(part.shape, dtype=np.float32)
    features.flush()
    return load_nodes(folder)


def few_shot(num_nodes: int, num_edges: int, max_neighbors: int | None) -> dict[str, Any]:
    """Training and test on a graph whose features stay in their file."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = stored_dataset(Path(folder), num_nodes, num_edges)
        started = time.perf_counter()
        graph = PreparedGraph.prepare(dataset, max_neighbors=max_neighbors)
        prepared = time.perf_counter()
        sampler = EpisodeSampler(dataset.labels, range(CLASSES), n_way=5, k_shot=3, m_query=10, seed=0)
        torch.manual_seed(0)
        method, chosen = GPN(FEATURES), recipe("fgsam+")
        optimizer = chosen.build(method.parameters(), lr=5e-3)
        for episode in sampler.take(EPISODES):
            train_step(method, graph.inputs(episode), optimizer, chosen)
        trained = time.perf_counter()
        evaluate(method, graph, sampler.take(TESTED, EPISODES))
        return {
            "nodes": dataset.num_nodes,
            "edges": dataset.num_edges,
            "largest_degree": int(graph.degree.max()),
            "features": FEATURES,
            "features_gib": dataset.num_nodes * FEATURES * 4 / 2**30,
            "max_neighbors": max_neighbors,
            "optimizer": "fgsam+",
            "episodes": EPISODES,
            "prepare_seconds": prepared - started,
            "train_seconds": trained - prepared,
            "tested": TESTED,
            "test_seconds": time.perf_counter() - trained,
        }


def arxiv(shrink: int) -> dict[str, Any]:
    """The size of ogbn-arxiv, exact blocks."""
    return few_shot(169_343 // shrink, 1_166_243 // shrink, None)


def nodes(shrink: int) -> dict[str, Any]:
    """A million nodes, bounded blocks."""
    return few_shot(1_000_000 // shrink, 5_000_000 // shrink, 10)


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"arxiv": arxiv, "nodes": nodes, "kg": knowledge_graph}


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
