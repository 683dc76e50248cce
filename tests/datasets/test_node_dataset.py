from __future__ import annotations

import dataclasses

import pytest
import torch

from gsam.datasets import NodeDataset


def test_sizes(small: NodeDataset) -> None:
    assert (small.num_nodes, small.num_edges, small.num_features, small.num_classes) == (4, 5, 2, 2)


def test_is_frozen(small: NodeDataset) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        small.name = "other"  # type: ignore[misc]


def test_to_pyg_dense_and_sparse_hold_the_same_values(small: NodeDataset) -> None:
    dense, sparse = small.to_pyg(dense=True), small.to_pyg()
    expected = torch.tensor([[0.0, 2.5], [1.0, 0.0], [0.0, 0.0], [-1.0, 3.0]])
    assert torch.equal(dense.x, expected)
    assert sparse.x.layout == torch.sparse_csr
    assert torch.equal(sparse.x.to_dense(), expected)


def test_to_pyg_carries_only_what_there_is(small: NodeDataset) -> None:
    data = small.to_pyg()
    assert set(data.keys()) == {"x", "edge_index", "y", "train_mask", "edge_weight", "num_nodes"}
    assert data.num_nodes == 4
    assert torch.equal(data.edge_weight, small.edge_weight)


def test_repr_is_one_short_line(small: NodeDataset) -> None:
    assert repr(small) == "NodeDataset('small': 4 nodes, 5 edges, 2 features, 2 classes)"
