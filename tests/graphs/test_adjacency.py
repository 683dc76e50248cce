from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gsam.graphs import Adjacency, SparseRows


def dense_of(edge_index: torch.Tensor, weight: torch.Tensor, n: int) -> torch.Tensor:
    """Row i: what flows into node i."""
    return torch.zeros(n, n, dtype=weight.dtype).index_put_((edge_index[1], edge_index[0]), weight, accumulate=True)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gcn_equals_pyg(graph, weighted, loops, dtype, device):
    n, weight = graph.num_nodes, graph.edge_weight.to(dtype) if weighted else None
    reference = dense_of(*gcn_norm(graph.edge_index, weight, n, add_self_loops=loops, dtype=dtype), n)
    on_device = None if weight is None else weight.to(device)
    adjacency = Adjacency.from_edges(graph.edge_index.to(device), n, on_device, self_loops=loops, dtype=dtype)
    assert adjacency.edge_weight.dtype == dtype
    found = dense_of(adjacency.edge_index.cpu(), adjacency.edge_weight.cpu(), n)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(found, reference, rtol=tolerance, atol=tolerance)


def test_rw_rows_sum_to_one(graph):
    n = graph.num_nodes
    adjacency = Adjacency.from_edges(graph.edge_index, n, graph.edge_weight, normalization="rw")
    ones = torch.ones(n, 1, dtype=torch.float64)
    torch.testing.assert_close(adjacency.matmul(ones), ones)
    with_loops = dense_of(graph.edge_index, graph.edge_weight, n)
    is_loop = graph.edge_index[0] == graph.edge_index[1]
    loop_weight = torch.ones(n, dtype=torch.float64)
    for node, value in zip(graph.edge_index[0, is_loop].tolist(), graph.edge_weight[is_loop].tolist(), strict=True):
        loop_weight[node] = value  # the last one stays
    with_loops.fill_diagonal_(0.0)
    with_loops += loop_weight.diag()
    expected = with_loops / with_loops.sum(1, keepdim=True)
    torch.testing.assert_close(dense_of(adjacency.edge_index, adjacency.edge_weight, n), expected)


def test_rw_without_loops_leaves_rows_of_zeros(graph):
    n = graph.num_nodes
    adjacency = Adjacency.from_edges(graph.edge_index, n, normalization="rw", self_loops=False)
    expected = (adjacency.degree > 0).float()[:, None]
    torch.testing.assert_close(adjacency @ torch.ones(n, 1), expected)


def test_raw_edges_stay_as_they_are_in_order_per_target(graph):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight, normalization=None)
    order = torch.sort(graph.edge_index[1], stable=True).indices
    assert torch.equal(adjacency.edge_index, graph.edge_index[:, order])
    assert torch.equal(adjacency.edge_weight, graph.edge_weight[order])
    assert adjacency.num_edges == graph.edge_index.shape[1]
    assert adjacency.scheme.is_raw


def test_degree_counts_the_users_edges(graph):
    expected = [(graph.edge_index[1] == node).sum().item() for node in range(graph.num_nodes)]
    for normalization in ("gcn", "rw", None):
        adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=normalization)
        assert adjacency.degree.tolist() == expected


def test_default_dtype_and_int32_edges(graph):
    adjacency = Adjacency.from_edges(graph.edge_index.int(), graph.num_nodes)
    assert adjacency.edge_weight.dtype == torch.get_default_dtype()
    same = Adjacency.from_edges(graph.edge_index, graph.num_nodes)
    assert torch.equal(adjacency.edge_index, same.edge_index)


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_propagate_dense_and_sparse_equal_powers(graph, hops, device):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight)
    matrix = dense_of(adjacency.edge_index, adjacency.edge_weight, graph.num_nodes)
    expected = torch.linalg.matrix_power(matrix, hops) @ graph.x
    adjacency, x = adjacency.to(device), graph.x.to(device)
    torch.testing.assert_close(adjacency.propagate(x, hops).cpu(), expected)
    sparse = adjacency.propagate(SparseRows.from_dense(x), hops)
    assert sparse.device.type == device
    torch.testing.assert_close(sparse.to_dense().cpu(), expected)
    for row in range(graph.num_nodes):
        columns = sparse.col[sparse.rowptr[row] : sparse.rowptr[row + 1]]
        assert (columns.diff() > 0).all()


def test_propagated_rows_give_the_first_gcn_layer(graph, assert_same_result):
    conv = GCNConv(graph.x.shape[1], 5).double()
    full = conv(graph.x, graph.edge_index, graph.edge_weight)[graph.seeds]
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight)
    features = adjacency.propagate(SparseRows.from_dense(graph.x)).rows(graph.seeds)
    found = features @ conv.lin.weight.t() + conv.bias
    assert_same_result(found, full, list(conv.parameters()), 1e-10)


def test_propagated_rows_on_real_data(photo, assert_same_result):
    edge_index, features = photo
    conv = GCNConv(features.shape[1], 8)
    seeds = torch.arange(0, features.shape[0], 331)
    rows = SparseRows.from_scipy(features)
    full = conv(rows.to_dense(), edge_index)[seeds]
    propagated = Adjacency.from_edges(edge_index, features.shape[0]).propagate(rows)
    found = propagated.rows(seeds) @ conv.lin.weight.t() + conv.bias
    assert_same_result(found, full, list(conv.parameters()), 1e-5)


def test_matmul_gradcheck(graph):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight)
    h = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(adjacency.matmul, h)


def test_graph_without_edges():
    adjacency = Adjacency.from_edges(torch.zeros(2, 0, dtype=torch.int64), 3)
    assert torch.equal(adjacency.matmul(torch.eye(3)), torch.eye(3))
    (block,) = Adjacency.from_edges(torch.zeros(2, 0, dtype=torch.int64), 3, normalization=None).blocks(
        torch.tensor([1]), 1
    )
    assert block.nodes.tolist() == [1]
    assert not block.aggregate(torch.ones(1, 2)).any()


def test_does_not_change_with_the_weights_it_was_given(graph):
    weight = graph.edge_weight.clone()
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, weight, normalization=None)
    before = adjacency.edge_weight.clone()
    weight.zero_()
    assert torch.equal(adjacency.edge_weight, before)


def test_copies(graph):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes)
    adjacency.blocks(graph.seeds, 1)
    for other in (pickle.loads(pickle.dumps(adjacency)), copy.deepcopy(adjacency)):
        found, expected = other.blocks(graph.seeds, 2)[0], adjacency.blocks(graph.seeds, 2)[0]
        assert torch.equal(found.nodes, expected.nodes)
        assert torch.equal(found.edge_index, expected.edge_index)


def test_bad_arguments_raise(graph):
    n = graph.num_nodes
    with pytest.raises(ValueError, match=r"edges must join nodes in \[0, 20\)"):
        Adjacency.from_edges(graph.edge_index, 20)
    with pytest.raises(ValueError, match="unknown normalization 'sym'"):
        Adjacency.from_edges(graph.edge_index, n, normalization="sym")  # type: ignore[arg-type]
    adjacency = Adjacency.from_edges(graph.edge_index, n)
    with pytest.raises(ValueError, match=rf"\[{n}, H\]; found shape \[3, 2\]"):
        adjacency.matmul(torch.ones(3, 2))
    with pytest.raises(ValueError, match=rf"\[{n}, F\]; found shape \[3, 3\]"):
        adjacency.propagate(SparseRows.from_dense(torch.eye(3)))
    with pytest.raises(ValueError, match="hops must be at least 0"):
        adjacency.propagate(torch.ones(n, 1), -1)
    with pytest.raises(ValueError, match="num_layers must be at least 1"):
        adjacency.blocks(graph.seeds, 0)
    with pytest.raises(IndexError, match=rf"\[0, {n}\), found 0 to {n}"):
        adjacency.blocks(torch.tensor([0, n]), 1)
    with pytest.raises(TypeError, match="mask"):
        adjacency.blocks(torch.ones(n, dtype=torch.bool), 1)


def test_propagation_keeps_features_sparse(photo):
    edge_index, features = photo
    propagated = Adjacency.from_edges(edge_index, features.shape[0]).propagate(SparseRows.from_scipy(features))
    binary = sp.csr_array((np.ones(edge_index.shape[1]), tuple(edge_index.flip(0).numpy())), shape=(7650, 7650))
    reached = ((binary + sp.eye_array(7650)).astype(bool).astype(float) @ (features != 0).astype(float)).tocsr()
    assert propagated.nnz == reached.nnz
