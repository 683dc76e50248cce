from __future__ import annotations

import pytest
import torch
from torch_geometric.utils import add_remaining_self_loops

from gsam.graphs._edges import check_edges, normalized, with_self_loops


def test_self_loops_equal_pyg(graph):
    n = graph.num_nodes
    edges, weight = with_self_loops(graph.edge_index, graph.edge_weight, n)
    expected_edges, expected_weight = add_remaining_self_loops(graph.edge_index, graph.edge_weight, 1.0, n)
    assert torch.equal(edges, expected_edges)
    assert torch.equal(weight, expected_weight)


def test_normalization_by_hand():
    # 0 -> 1 twice and 2 -> 1: node 1 has degree 4, nodes 0 and 2 have none
    edges, weight = torch.tensor([[0, 0, 2], [1, 1, 1]]), torch.tensor([1.0, 2.0, 1.0])
    assert normalized(edges, weight, 3, None).tolist() == [1.0, 2.0, 1.0]
    assert normalized(edges, weight, 3, "rw").tolist() == [0.25, 0.5, 0.25]
    assert normalized(edges, weight, 3, "gcn").tolist() == [0.0, 0.0, 0.0]
    # 0 -> 1, 1 -> 0, 0 -> 0: degrees 2 and 1
    edges = torch.tensor([[0, 1, 0], [1, 0, 0]])
    found = normalized(edges, torch.ones(3, dtype=torch.float64), 2, "gcn")
    torch.testing.assert_close(found, torch.tensor([0.5**0.5, 0.5**0.5, 0.5], dtype=torch.float64))


def test_normalization_refuses_what_would_be_nan():
    edges = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="found -1 at node 1"):
        normalized(edges, torch.tensor([-1.0]), 2, "gcn")
    with pytest.raises(ValueError, match="choose 'gcn', 'rw' or None"):
        normalized(edges, torch.ones(1), 2, "sym")


@pytest.mark.parametrize(
    ("edges", "weight", "message"),
    [
        ([[0, 1, 2], [1, 3, 4]], None, r"\[0, 3\), found 1 -> 3 at position 1 \(2 such edges\)"),
        ([[0, -1], [1, 1]], None, "found -1 -> 1 at position 1"),
        ([[0, 1, 2]], None, r"\[2, E\], found \[1, 3\]"),
        ([[0], [1]], [1.0, 2.0], r"\[1\]; found torch.float32 of shape \[2\]"),
        ([[0], [1]], [1], "found torch.int64"),
        ([[0, 1], [1, 0]], [1.0, float("nan")], "found 1 that are not"),
    ],
)
def test_bad_edges_raise(edges, weight, message):
    with pytest.raises(ValueError, match=message):
        check_edges(torch.tensor(edges), 3, None if weight is None else torch.tensor(weight))


def test_edges_must_be_integers():
    with pytest.raises(TypeError, match=r"torch\.float32"):
        check_edges(torch.zeros(2, 3), 3, None)
