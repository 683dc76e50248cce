"""Cora, CiteSeer and PubMed as published with Planetoid: eight files ``ind.NAME.PART``, seven of them pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsam.datasets.array_file import parsing
from gsam.datasets.edges import check_ends, coalesced, without_self_loops
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import numbered_classes, sparse_features
from gsam.datasets.readers.safe_pickle import load_array_pickle

_NUM_VALID = 500  # the public split: 20 training nodes a class, the next 500 for validation


class _Parts(NamedTuple):
    x: sp.csr_matrix
    tx: sp.csr_matrix
    allx: sp.csr_matrix
    y: NDArray[Any]
    ty: NDArray[Any]
    ally: NDArray[Any]
    graph: dict[int, list[int]]
    test_index: NDArray[np.int64]


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return what ``torch_geometric.datasets.Planetoid`` (public split) returns, with sparse features.

    The pickles are read with numpy, scipy and container classes only; anything else in them is refused. CiteSeer
    has 15 test nodes without features or label; as in PyG they get an empty row and class 0.
    """
    with parsing(folder / entry.files[-1]):
        test_index = np.array((folder / entry.files[-1]).read_text().split(), dtype=np.int64)
    parts = _Parts._make([*(load_array_pickle(folder / file) for file in entry.files[:-1]), test_index])
    with parsing(folder):
        for matrix in (parts.x, parts.tx, parts.allx):
            matrix.check_format(full_check=True)  # scipy trusts a pickled matrix, and would read out of bounds
        order = _node_order(parts)
        features, scores = _stack(parts, order)
        edge_index = _edges(parts.graph, len(order), folder / entry.files[-2])
        masks = _public_split(parts, len(order))
    return NodeDataset(
        name=entry.name,
        edge_index=edge_index,
        features=sparse_features(features, folder),
        labels=torch.from_numpy(scores.argmax(axis=1)),
        class_names=numbered_classes(scores.shape[1]),
        **masks,
    )


def _node_order(parts: _Parts) -> NDArray[np.int64]:
    """Return for each node the row of the stacked file that describes it: test rows come in the order of test.index."""
    low, high = int(parts.test_index.min()), int(parts.test_index.max())
    if low != parts.allx.shape[0] or len(parts.test_index) != parts.tx.shape[0]:
        raise ValueError("test.index does not continue allx, or does not number the rows of tx")
    order = np.arange(high + 1)
    order[parts.test_index] = np.sort(parts.test_index)
    return order


def _stack(parts: _Parts, order: NDArray[np.int64]) -> tuple[sp.csr_matrix, NDArray[Any]]:
    """Return N x F features and N x C one-hot labels; test nodes that the files leave out get zeros."""
    num_train = parts.allx.shape[0]
    present = np.sort(parts.test_index) - num_train
    place = sp.csr_matrix(
        (np.ones(len(present), np.float32), (present, np.arange(len(present)))),
        shape=(len(order) - num_train, len(present)),
    )
    features = sp.vstack([parts.allx, place @ parts.tx], format="csr").astype(np.float32)[order]
    scores = np.concatenate([parts.ally, place @ parts.ty])[order]
    features.sum_duplicates()
    features.eliminate_zeros()
    return features, scores


def _edges(graph: dict[int, list[int]], num_nodes: int, where: Path) -> Tensor:
    source = np.repeat(list(graph), [len(neighbours) for neighbours in graph.values()]).astype(np.int64)
    target = np.concatenate([np.asarray(neighbours, dtype=np.int64) for neighbours in graph.values()])
    check_ends(source, target, num_nodes, where)
    return coalesced(*without_self_loops(source, target), num_nodes, by_target=True)


def _public_split(parts: _Parts, num_nodes: int) -> dict[str, Any]:
    num_train = len(parts.y)
    members = {
        "train_mask": np.arange(num_train),
        "val_mask": np.arange(num_train, num_train + _NUM_VALID),
        "test_mask": parts.test_index,
    }
    masks = {name: torch.zeros(num_nodes, 1, dtype=torch.bool) for name in members}
    for name, nodes in members.items():
        masks[name][torch.from_numpy(nodes)] = True
    return masks
