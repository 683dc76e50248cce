"""Benchmark sets published as ``.npz`` in the gnn-benchmark layout: Coauthor, Amazon, CitationFull."""

from __future__ import annotations

from pathlib import Path

from gsam.datasets.array_file import ArrayFile
from gsam.datasets.edges import check_ends, undirected, without_self_loops
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, numbered_classes, sparse_features
from gsam.datasets.readers.csr_arrays import check_columns, read_adjacency, read_csr


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return what ``torch_geometric.io.read_npz`` returns, without ever holding dense features.

    As there: positive features become 1, self-loops are dropped, every edge is listed in both directions.
    """
    with ArrayFile(folder / entry.files[0]) as arrays:
        arrays.require("labels")
        attributes = read_csr(arrays, "attr")
        check_columns(arrays, "attr", attributes)
        adjacency = read_adjacency(arrays, attributes.shape[0])
        source, target = adjacency.rows(), adjacency.indices
        check_ends(source, target, attributes.shape[0], arrays.path)
        labels = integer_labels(arrays["labels"], arrays.path)
        num_classes = class_count(labels, arrays.path)
    features = attributes.matrix()
    features.data[features.data > 0] = 1
    return NodeDataset(
        name=entry.name,
        edge_index=undirected(*without_self_loops(source, target), attributes.shape[0]),
        features=sparse_features(features, arrays.path),
        labels=labels,
        class_names=numbered_classes(num_classes),
    )
