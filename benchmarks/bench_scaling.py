"""Cost of a training episode on random graphs of mean degree 10 as the graph grows from 10^4 to 10^6 nodes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from harness import alternating_minima, save

from gsam.datasets import NodeDataset
from gsam.fewshot import GPN, EpisodeInputs, EpisodeSampler, PreparedGraph, train_step
from gsam.graphs import SparseRows
from gsam.optim.recipes import recipe

CLASSES, FEATURES, WORDS, DEGREE = 20, 1000, 20, 10


def random_dataset(num_nodes: int, seed: int = 0) -> NodeDataset:
    """A random undirected graph with sparse random features and labels."""
    rng = np.random.default_rng(seed)
    half = torch.from_numpy(rng.integers(num_nodes, size=(2, num_nodes * DEGREE // 2)))
    columns = rng.integers(FEATURES, size=num_nodes * WORDS)
    rows = np.repeat(np.arange(num_nodes), WORDS)
    features = sp.csr_array((np.ones(rows.size, np.float32), (rows, columns)), shape=(num_nodes, FEATURES))
    return NodeDataset(
        name=f"random-{num_nodes}",
        edge_index=torch.cat([half, half.flip(0)], dim=1),
        features=SparseRows.from_scipy(features),
        labels=torch.from_numpy(rng.integers(CLASSES, size=num_nodes)),
        class_names=tuple(map(str, range(CLASSES))),
    )


def episode_task(num_nodes: int, count: int) -> Callable[[], Any]:
    """A task that trains on ``count`` fresh episodes of a graph of this size."""
    dataset = random_dataset(num_nodes)
    graph = PreparedGraph.prepare(dataset)
    sampler = EpisodeSampler(dataset.labels, range(CLASSES), n_way=5, k_shot=3, m_query=10, seed=0)
    torch.manual_seed(0)
    method, chosen = GPN(FEATURES), recipe("adam")
    optimizer = chosen.build(method.parameters(), lr=5e-3)
    position = 0

    def task() -> None:
        nonlocal position
        for episode in sampler.take(count, position):
            train_step(method, EpisodeInputs(graph, episode), optimizer, chosen)
        position += count

    return task


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sizes, count = (10_000, 100_000, 1_000_000), 50
    tasks = {str(size): episode_task(size, count) for size in sizes}
    milliseconds = {size: 1e3 * s / count for size, s in alternating_minima(tasks, options.rounds).items()}
    growth = milliseconds[str(sizes[-1])] / milliseconds[str(sizes[0])]
    print("milliseconds per episode", milliseconds, "growth", growth)
    save("scaling", {"milliseconds_per_episode": milliseconds, "growth_from_1e4_to_1e6": growth})


if __name__ == "__main__":
    main()
