from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from gsam.datasets import DatasetError, NodeDataset
from gsam.graphs import SparseRows

NAN, INF = float("nan"), float("inf")


def test_a_good_set_passes_and_is_returned(small: NodeDataset) -> None:
    assert small.validate() is small


def overflown() -> SparseRows:
    """Finite in float64, infinite in float32: entry (1, 1)."""
    dense = torch.ones(4, 2, dtype=torch.float64)
    dense[1, 1] = 1e300
    return SparseRows.from_dense(dense).to(dtype=torch.float32)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"features": overflown()}, "found inf at row 1, column 1 (1 such values in all)"),
    ({"features": SparseRows.from_dense(torch.ones(0, 2))}, "the graph is empty"),
    ({"features": SparseRows.from_dense(torch.ones(4, 0))}, "at least one feature"),
    ({"labels": torch.tensor([0, 1, 7, 1])}, "label 7 of node 2 is out of range: expected 0 to 1"),
    ({"labels": torch.tensor([0, -2, 0, 1])}, "label -2 of node 1 is out of range"),
    ({"labels": torch.tensor([0, 1, 1])}, "expected 4 int64 labels, one per node, found torch.int64 of shape [3]"),
    ({"labels": torch.tensor([0.0, 1, 1, 0])}, "found torch.float32"),
    ({"labels": torch.full((4,), -1)}, "no node has a label"),
    ({"edge_index": torch.tensor([[0, 1], [1, 9]]), "edge_weight": None}, "edge 1 (1 -> 9) names node 9"),
    ({"edge_index": torch.tensor([[-1], [1]]), "edge_weight": None}, "edge 0 (-1 -> 1) names node -1"),
    ({"edge_index": torch.tensor([[0, 1]]), "edge_weight": None}, "expected edge_index as int64 [2, E]"),
    ({"edge_index": torch.zeros(2, 3), "edge_weight": None}, "found torch.float32"),
    ({"edge_weight": torch.tensor([1.0, 1, -2, 1, 1])}, "found -2.0 on edge 2 (1 -> 0)"),
    ({"edge_weight": torch.tensor([1.0, 1, 1, NAN, 1])}, "found nan on edge 3 (3 -> 3)"),
    ({"edge_weight": torch.tensor([INF, 1, 1, 1, 1])}, "found inf on edge 0"),
    ({"edge_weight": torch.ones(2)}, "expected 5 floating-point edge weights"),
    ({"train_mask": torch.ones(3, 1, dtype=torch.bool)}, "expected train_mask as bool [4, splits]"),
    ({"test_mask": torch.ones(4, 1)}, "expected test_mask as bool"),
    ({"node_names": ("a",)}, "expected 4 node_names or none, found 1"),
    ({"class_splits": {"s": {"train": (0,), "test": (0, 1)}}}, "class split 's'"),
    ({"class_splits": {"s": {"train": (0,), "test": (5,)}}}, "class split 's'"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_each_problem_is_one_line_that_names_it(small: NodeDataset, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError) as raised:
        dataclasses.replace(small, **change).validate()
    assert message in str(raised.value)
    assert str(raised.value).startswith("small: ")
    assert "\n" not in str(raised.value)
