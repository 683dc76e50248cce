"""Sets of yandex-research/heterophilous-graphs: one ``.npz`` with dense features, an edge list and ten splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsam.datasets.array_file import Array, ArrayFile
from gsam.datasets.edges import check_ends, undirected
from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, numbered_classes, sparse_features


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return what ``torch_geometric.datasets.HeterophilousGraphDataset`` returns; self-loops are kept."""
    with ArrayFile(folder / entry.files[0]) as arrays:
        arrays.require("node_features", "node_labels", "edges", "train_masks", "val_masks", "test_masks")
        source, target = _edge_columns(arrays)
        features = arrays["node_features"].astype(np.float32)
        check_ends(source, target, len(features), arrays.path)
        labels = integer_labels(arrays["node_labels"], arrays.path)
        num_classes = class_count(labels, arrays.path)
        masks: dict[str, Any] = {f"{part}_mask": _splits(arrays[f"{part}_masks"]) for part in ("train", "val", "test")}
    return NodeDataset(
        name=entry.name,
        edge_index=undirected(source, target, len(features)),
        features=sparse_features(features, arrays.path),
        labels=labels,
        class_names=numbered_classes(num_classes),
        **masks,
    )


def _edge_columns(arrays: ArrayFile) -> tuple[Array, Array]:
    edges = arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 2 or not np.issubdtype(edges.dtype, np.integer):
        raise DatasetError(f"{arrays.path}: edges must be integers [E, 2], found {edges.dtype}{edges.shape}")
    return edges[:, 0], edges[:, 1]


def _splits(masks: Array) -> torch.Tensor:
    """Turn [S, N] into bool [N, S]."""
    return torch.from_numpy(np.ascontiguousarray(masks.astype(bool).T))
