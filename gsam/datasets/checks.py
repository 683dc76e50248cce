"""Checks at the door: every problem a file can have becomes one line that names the first offender."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsam.datasets.errors import DatasetError
from gsam.graphs import MappedRows

if TYPE_CHECKING:
    from gsam.datasets.node_dataset import NodeDataset


def check_dataset(data: NodeDataset) -> None:
    """Run every check on a data set.

    Raises:
        DatasetError: The first problem found; see :meth:`gsam.datasets.NodeDataset.validate`.
    """
    for check in _CHECKS:
        check(data)


def _fail(data: NodeDataset, problem: str) -> DatasetError:
    return DatasetError(f"{data.name}: {problem}")


def _first(mask: Tensor) -> int:
    """Return the position of the first True of a 1-D mask, known to have one."""
    return int(torch.argmax(mask.to(torch.uint8)))


def _check_size(data: NodeDataset) -> None:
    if data.num_nodes == 0:
        raise _fail(data, "the graph is empty: expected at least one node")
    if data.num_features == 0:
        raise _fail(data, "expected at least one feature per node, found none")


def _check_features(data: NodeDataset) -> None:
    rows = data.features
    if isinstance(rows, MappedRows):
        return  # each row is checked when it is read
    if problem := feature_problem(rows.rowptr, rows.col, rows.value):
        raise _fail(data, problem)


def feature_problem(rowptr: Tensor, col: Tensor, value: Tensor) -> str | None:
    """Return what is wrong with the values of compressed sparse features, or None.

    Args:
        rowptr: Integers [N + 1].
        col: Integers [nnz].
        value: float32 [nnz].
    """
    bad = ~torch.isfinite(value)
    if not bool(bad.any()):
        return None
    at = _first(bad)
    row = int(torch.searchsorted(rowptr, at, right=True)) - 1
    return (
        f"features must be finite in float32, found {float(value[at])} at row {row}, column {int(col[at])} "
        f"({int(bad.sum())} such values in all)"
    )


def _check_labels(data: NodeDataset) -> None:
    labels = data.labels
    if labels.dtype != torch.int64 or labels.shape != (data.num_nodes,):
        raise _fail(
            data,
            f"expected {data.num_nodes} int64 labels, one per node, found {labels.dtype} of shape {list(labels.shape)}",
        )
    bad = (labels < -1) | (labels >= data.num_classes)
    if bool(bad.any()):
        node = _first(bad)
        raise _fail(
            data,
            f"label {int(labels[node])} of node {node} is out of range: "
            f"expected 0 to {data.num_classes - 1}, or -1 for a node without a label",
        )
    if bool((labels == -1).all()):
        raise _fail(data, "no node has a label: every label is -1")


def _check_edges(data: NodeDataset) -> None:
    edges = data.edge_index
    if edges.dtype != torch.int64 or edges.dim() != 2 or edges.shape[0] != 2:
        raise _fail(data, f"expected edge_index as int64 [2, E], found {edges.dtype} of shape {list(edges.shape)}")
    bad = (edges < 0) | (edges >= data.num_nodes)
    if bool(bad.any()):
        at = _first(bad.any(dim=0))
        source, target = edges[:, at].tolist()
        node = source if bool(bad[0, at]) else target
        raise _fail(
            data,
            f"edge {at} ({source} -> {target}) names node {node}, which does not exist: "
            f"nodes are 0 to {data.num_nodes - 1}",
        )


def _check_weights(data: NodeDataset) -> None:
    weight = data.edge_weight
    if weight is None:
        return
    if not weight.is_floating_point() or weight.shape != (data.num_edges,):
        raise _fail(
            data,
            f"expected {data.num_edges} floating-point edge weights, one per edge, "
            f"found {weight.dtype} of shape {list(weight.shape)}",
        )
    bad = ~(torch.isfinite(weight) & (weight >= 0))
    if bool(bad.any()):
        at = _first(bad)
        source, target = data.edge_index[:, at].tolist()
        raise _fail(
            data,
            f"edge weights must be finite and at least 0, found {float(weight[at])} "
            f"on edge {at} ({source} -> {target})",
        )


def _check_masks(data: NodeDataset) -> None:
    for name in ("train_mask", "val_mask", "test_mask"):
        mask = getattr(data, name)
        if mask is not None and (mask.dtype != torch.bool or mask.dim() != 2 or mask.shape[0] != data.num_nodes):
            raise _fail(
                data,
                f"expected {name} as bool [{data.num_nodes}, splits], found {mask.dtype} of shape {list(mask.shape)}",
            )


def _check_names(data: NodeDataset) -> None:
    for name, expected in (("node_names", data.num_nodes), ("feature_names", data.num_features)):
        found = len(getattr(data, name))
        if found not in (0, expected):
            raise _fail(data, f"expected {expected} {name} or none, found {found}")
    for split, parts in data.class_splits.items():
        classes = [label for part in parts.values() for label in part]
        if len(set(classes)) != len(classes) or not set(classes) <= set(range(data.num_classes)):
            raise _fail(data, f"class split {split!r} must name each of the classes 0 to {data.num_classes - 1} once")


_CHECKS = (_check_size, _check_features, _check_labels, _check_edges, _check_weights, _check_masks, _check_names)
