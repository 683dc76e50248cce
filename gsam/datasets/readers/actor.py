"""Actor in the geom-gcn text layout: features as the numbers of the words that occur, nodes in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from gsam.datasets.array_file import parsing
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, numbered_classes, sparse_features
from gsam.datasets.readers.geom_gcn import read_edges, read_splits, table


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return what ``torch_geometric.datasets.Actor`` returns: directed edges, self-loops kept, ten splits."""
    node_file, edge_file, *split_files = entry.files
    path = folder / node_file
    with parsing(path):
        features, raw_labels = _nodes(table(path))
        labels = integer_labels(raw_labels, path)
    return NodeDataset(
        name=entry.name,
        edge_index=read_edges(folder / edge_file, len(labels)),
        features=sparse_features(features, path),
        labels=labels,
        class_names=numbered_classes(class_count(labels, path)),
        **read_splits(folder, tuple(split_files)),
    )


def _nodes(rows: list[list[str]]) -> tuple[sp.csr_matrix, np.ndarray]:
    nodes = np.array([int(row[0]) for row in rows])
    if not np.array_equal(np.sort(nodes), np.arange(len(rows))):
        raise ValueError(f"node numbers must be 0 to {len(rows) - 1}, each once")
    words = [np.array(row[1].split(","), dtype=np.int64) for row in rows]
    row = np.repeat(nodes, [len(found) for found in words])
    column = np.concatenate(words)
    features = sp.csr_matrix((np.ones(len(row), np.float32), (row, column)))
    features.data[:] = 1  # a word listed twice counts once
    labels = np.empty(len(rows), np.int64)
    labels[nodes] = [int(row[2]) for row in rows]
    return features, labels
