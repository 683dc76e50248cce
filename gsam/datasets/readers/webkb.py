"""WebKB (texas, wisconsin, cornell) in the geom-gcn text layout: features as comma-separated 0/1."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gsam.datasets.array_file import parsing
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, numbered_classes, sparse_features
from gsam.datasets.readers.geom_gcn import read_edges, read_splits, table


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return what ``torch_geometric.datasets.WebKB`` returns: directed edges, self-loops kept, ten splits."""
    node_file, edge_file, *split_files = entry.files
    path = folder / node_file
    with parsing(path):
        rows = table(path)
        features = np.array([row[1].split(",") for row in rows]).astype(np.float32)
        labels = integer_labels(np.array([int(row[2]) for row in rows]), path)
    return NodeDataset(
        name=entry.name,
        edge_index=read_edges(folder / edge_file, len(rows)),
        features=sparse_features(features, path),
        labels=labels,
        class_names=numbered_classes(class_count(labels, path)),
        **read_splits(folder, tuple(split_files)),
    )
