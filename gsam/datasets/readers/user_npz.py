"""The user's own ``.npz`` in the gnn-benchmark layout: reading, and writing the same layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.array_file import Array, ArrayFile
from gsam.datasets.errors import DatasetError
from gsam.datasets.node_dataset import ClassSplits, NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, mask_columns, numbered_classes, sparse_features
from gsam.datasets.readers.csr_arrays import check_columns, read_adjacency, read_csr
from gsam.graphs import SparseRows

_MASKS = ("train_mask", "val_mask", "test_mask")


def read(path: Path) -> NodeDataset:
    """Read a file for :func:`gsam.datasets.load`; see :func:`read_npz`."""
    return read_npz(path)


def read_npz(path: str | Path) -> NodeDataset:
    """Read a ``.npz`` in the gnn-benchmark layout, without unpickling anything.

    Arrays: ``adj_data adj_indices adj_indptr adj_shape`` (compressed rows, source to target), ``attr_data attr_indices
    attr_indptr attr_shape`` or a dense ``attr_matrix`` [N, F], and ``labels`` [N] (-1: unlabelled). Optional:
    ``class_names``, ``node_names``, ``attr_names`` as text arrays, ``train_mask val_mask test_mask`` [N] or [N, S],
    and ``class_splits`` as JSON text. Names stored as pickled objects, as some published files have them, are left out.

    Unlike the benchmark sets of the catalogue, the data stay as they are: feature values, edge directions,
    duplicates and self-loops. Edge weights are kept unless all are 1.

    Raises:
        DatasetError: Broken file, missing arrays, or arrays that do not fit together; the message names the file.
    """
    path = Path(path)
    with ArrayFile(path) as arrays:
        arrays.require("labels", *(f"adj_{part}" for part in ("data", "indices", "indptr", "shape")))
        features = _features(arrays)
        adjacency = read_adjacency(arrays, features.shape[0])
        labels = integer_labels(arrays["labels"], path)
        return NodeDataset(
            name=path.stem,
            edge_index=torch.from_numpy(np.stack([adjacency.rows(), adjacency.indices])),
            features=features,
            labels=labels,
            class_names=_text(arrays, "class_names") or numbered_classes(class_count(labels, path)),
            class_splits=_class_splits(arrays),
            edge_weight=_weights(adjacency.data),
            node_names=_text(arrays, "node_names"),
            feature_names=_text(arrays, "attr_names"),
            **{name: mask_columns(torch.from_numpy(arrays[name])) for name in _MASKS if name in arrays},
        )


def save_npz(data: NodeDataset, path: str | Path) -> None:
    """Write a data set in the layout that :func:`read_npz` reads; edges come back ordered by source.

    The file appears whole or not at all: it is written beside ``path`` and moved into place.

    Raises:
        DatasetError: ``path`` does not end in ``.npz``, so that :func:`gsam.datasets.load` would not read it back.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise DatasetError(f"{path}: expected a file name that ends in .npz")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **_arrays(data))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _features(arrays: ArrayFile) -> SparseRows:
    if "attr_matrix" in arrays:
        dense = arrays["attr_matrix"]
        if dense.ndim != 2 or dense.dtype.kind not in "biuf":
            raise DatasetError(f"{arrays.path}: attr_matrix must be numeric [N, F], found {dense.dtype}{dense.shape}")
        return sparse_features(dense, arrays.path)
    csr = read_csr(arrays, "attr")
    check_columns(arrays, "attr", csr)
    return sparse_features(csr.matrix(), arrays.path)


def _weights(data: Array) -> Tensor | None:
    """Return edge weights as float32 [E], or None if every edge weighs 1."""
    return None if (data == 1).all() else torch.from_numpy(data.astype(np.float32))


def _text(arrays: ArrayFile, key: str) -> tuple[str, ...]:
    """Return a text array as a tuple; empty if it is missing or a pickle."""
    if key not in arrays:
        return ()
    try:
        return tuple(str(name) for name in arrays[key].tolist())
    except DatasetError:
        return ()


def _class_splits(arrays: ArrayFile) -> ClassSplits:
    if "class_splits" not in arrays:
        return {}

    def numbers(split: dict[str, list[int]]) -> dict[str, tuple[int, ...]]:
        return {part: tuple(map(int, labels)) for part, labels in split.items()}

    try:
        return {name: numbers(split) for name, split in json.loads(str(arrays["class_splits"])).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f'{arrays.path}: class_splits must be JSON such as {{"mine": {{"train": [0], "test": [1]}}}} ({error})'
        ) from error


def _arrays(data: NodeDataset) -> dict[str, Any]:
    adjacency = _adjacency_arrays(data)
    attributes = data.features.in_memory()
    optional: dict[str, Any] = {
        "class_splits": json.dumps({k: dict(v) for k, v in data.class_splits.items()}) if data.class_splits else None,
        "node_names": np.array(data.node_names, dtype=str) if data.node_names else None,
        "attr_names": np.array(data.feature_names, dtype=str) if data.feature_names else None,
        **{name: mask.cpu().numpy() for name in _MASKS if (mask := getattr(data, name)) is not None},
    }
    return {
        **adjacency,
        "attr_data": attributes.value.cpu().numpy(),
        "attr_indices": attributes.col.cpu().numpy(),
        "attr_indptr": attributes.rowptr.cpu().numpy(),
        "attr_shape": np.array(attributes.shape),
        "labels": data.labels.cpu().numpy(),
        "class_names": np.array(data.class_names, dtype=str),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _adjacency_arrays(data: NodeDataset) -> dict[str, Any]:
    """Compress the edge list by source; duplicates stay, and keep their order."""
    source, target = data.edge_index.cpu().numpy()
    order = np.argsort(source, kind="stable")
    weight = torch.ones(data.num_edges) if data.edge_weight is None else data.edge_weight.cpu()
    return {
        "adj_data": weight.numpy()[order],
        "adj_indices": target[order],
        "adj_indptr": np.searchsorted(source[order], np.arange(data.num_nodes + 1)),
        "adj_shape": np.array([data.num_nodes, data.num_nodes]),
    }
