"""Few-shot training on a graph whose features stay on disk, with a bound on the neighbours that a node reads.

The graph is made up: five kinds of nodes per region, a few hubs with thousands of neighbours. Its features are written
in pieces, as one would write those of a graph that is larger than memory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from gsam.datasets import load_nodes
from gsam.fewshot import FewShotRun, configure

NODES, EDGES, FEATURES, CLASSES = 20_000, 100_000, 64, 12


def write(folder: Path) -> None:
    """Write features, edges and labels; half of the edges join nodes of one class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=NODES)
    np.save(folder / "labels.npy", labels)
    source, target = (rng.random((2, EDGES)) ** 3 * NODES).astype(np.int64)  # the first nodes are in most edges
    by_class = np.argsort(labels, kind="stable")
    alike = by_class[(np.searchsorted(labels[by_class], labels[target]) + source % 1000) % NODES]
    source = np.where(rng.random(EDGES) < 0.5, alike, source)
    np.save(folder / "edge_index.npy", np.stack([np.append(source, target), np.append(target, source)]))
    means = rng.standard_normal((CLASSES, FEATURES))
    file = np.lib.format.open_memmap(folder / "features.npy", mode="w+", dtype=np.float32, shape=(NODES, FEATURES))
    for start in range(0, NODES, 5000):
        part = slice(start, start + 5000)
        file[part] = means[labels[part]] + 3 * rng.standard_normal((5000, FEATURES))
    file.flush()


with tempfile.TemporaryDirectory() as name:
    write(Path(name))
    data = load_nodes(Path(name))  # reads edges and labels, maps the features
    for limit in (None, 10):
        config = configure(
            "made up",
            method="gpn",
            split="6,3,3",
            ways=3,
            seeds=(0, 1, 2),
            episodes=60,
            test_episodes=25,
            max_neighbors=limit,
        )
        run = FewShotRun(config, data)
        result = run.results([run.record(seed) for seed in config.seeds])
        blocks = "exact blocks" if limit is None else f"max_neighbors={limit}"
        print(f"{blocks:<17} {result['accuracy_mean']:.1f} +- {result['accuracy_ci95']:.1f} %")
