from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.utils import coalesce, remove_self_loops, to_undirected

from gsam.datasets import DatasetError
from gsam.datasets.edges import check_ends, coalesced, undirected, without_self_loops

N = 6
edge_lists = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)), max_size=30).map(
    lambda pairs: np.array(pairs, dtype=np.int64).reshape(-1, 2).T
)


@given(edge_lists)
def test_equal_to_pyg(edges: np.ndarray) -> None:
    source, target = edges
    theirs = torch.from_numpy(edges)
    assert torch.equal(coalesced(source, target, N), coalesce(theirs, num_nodes=N))
    assert torch.equal(coalesced(source, target, N, by_target=True), coalesce(theirs, num_nodes=N, sort_by_row=False))
    assert torch.equal(undirected(source, target, N), to_undirected(theirs, num_nodes=N))
    assert np.array_equal(np.stack(without_self_loops(source, target)), remove_self_loops(theirs)[0].numpy())


def test_small_integer_types_do_not_wrap() -> None:
    ends = np.array([70_000, 3], dtype=np.uint32), np.array([3, 70_001], dtype=np.uint32)
    assert undirected(*ends, 80_000).tolist() == [[3, 3, 70_000, 70_001], [70_000, 70_001, 3, 3]]


@pytest.mark.parametrize("ends", [([0, 6], [1, 0]), ([0, 0], [1, 6]), ([0, -1], [1, 0])])
def test_an_edge_to_a_missing_node_is_named(ends: tuple[list[int], list[int]]) -> None:
    with pytest.raises(DatasetError, match=r"FILE: edge 1 \(-?\d -> -?\d\) names a node that does not exist"):
        check_ends(np.array(ends[0]), np.array(ends[1]), N, "FILE")
