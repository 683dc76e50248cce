from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from gsam.fewshot.embedding import propagated_embedding
from gsam.graphs import Adjacency, SparseRows
from tests.fewshot.toy import dense_adjacency, toy_dataset


def dense_embedding(x: Tensor, matrix: Tensor, hops: int, dim: int) -> Tensor:
    """The same by dense float64 matrices and LAPACK, up to a rotation."""
    sums = x.abs().sum(1, keepdim=True)
    product = torch.where(sums > 0, x / sums, 0.0)
    for _ in range(hops):
        product = matrix @ product
    u, s, _ = np.linalg.svd(product.numpy(), full_matrices=False)
    rows = torch.from_numpy(u[:, :dim] * s[:dim])
    norm = rows.norm(dim=1, keepdim=True)
    rows = torch.where(norm > 1e-12, rows / norm, 0.0)
    rows[product.abs().sum(1) == 0] = 0.0
    return rows


def gcn(data) -> Tensor:
    matrix = dense_adjacency(data)
    root = matrix.sum(1).rsqrt()
    return root[:, None] * matrix * root


def adjacency_of(data) -> Adjacency:
    return Adjacency.from_edges(data.edge_index, data.num_nodes, data.edge_weight, normalization="gcn")


@pytest.mark.parametrize(("hops", "dim"), [(0, 24), *product((1, 2, 3), (1, 4, 8, 24, 128))])
@pytest.mark.parametrize("weighted", [False, True])
def test_gram_matrix_is_that_of_the_dense_svd(hops: int, dim: int, weighted: bool) -> None:
    """Cosines between nodes are free of the sign and rotation of singular vectors."""
    data = toy_dataset(weighted=weighted, seed=hops)
    expected = dense_embedding(data.features.to_dense().double(), gcn(data), hops, dim)
    found = propagated_embedding(data.features, adjacency_of(data), hops=hops, dim=dim).double()
    assert found.shape == (data.num_nodes, min(dim, 24))
    strong = (expected.norm(dim=1) > 0) & (found.norm(dim=1) > 0)
    assert strong.sum() >= data.num_nodes - 1
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-3, atol=1e-3)


def test_wider_than_the_oversampling() -> None:
    """More columns than the random start has: the subspace iteration has to find the leading ones."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(150, 8, generator=generator), torch.randn(8, 90, generator=generator)
    x = (left @ right) + 0.05 * torch.randn(150, 90, generator=generator)
    edges = torch.randint(0, 150, (2, 300), generator=generator)
    adjacency = Adjacency.from_edges(edges, 150, normalization="gcn")
    dense = torch.zeros(150, 150, dtype=torch.float64)
    dense[adjacency.edge_index[1], adjacency.edge_index[0]] = 0.0
    dense.index_put_((adjacency.edge_index[1], adjacency.edge_index[0]), adjacency.edge_weight.double(), True)
    expected = dense_embedding(x.double(), dense, 2, 8)
    found = propagated_embedding(SparseRows.from_dense(x), adjacency, dim=8).double()
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-3, atol=1e-3)


def test_more_columns_than_rank() -> None:
    """Rank 2 in 10 columns: the surplus columns hold nothing, and the cosines are those of the rank-2 matrix."""
    data = toy_dataset()
    basis = torch.rand(2, 10, generator=torch.Generator().manual_seed(1))
    x = torch.rand(data.num_nodes, 2, generator=torch.Generator().manual_seed(2)) @ basis
    found = propagated_embedding(SparseRows.from_dense(x), adjacency_of(data), dim=10)
    assert found.shape == (data.num_nodes, 10)
    assert found[:, 2:].abs().max() < 1e-5
    expected = dense_embedding(x.double(), gcn(data), 2, 2)
    torch.testing.assert_close(found.double() @ found.double().T, expected @ expected.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (1, 1), (3, 3)])
def test_dim_is_lowered_to_the_matrix(shape: tuple[int, int]) -> None:
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(0)) + 0.1
    adjacency = Adjacency.from_edges(torch.zeros(2, 0, dtype=torch.long), shape[0], normalization="gcn")
    found = propagated_embedding(SparseRows.from_dense(x), adjacency)
    assert found.shape == (shape[0], min(shape))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(shape[0]))


@pytest.mark.parametrize("first", [0, 50])
def test_rows_without_features_are_zero(first: int) -> None:
    """Not rounding noise scaled to length 1, wherever they stand; with a featured node in reach they are not zero."""
    x = torch.rand(80, 30, generator=torch.Generator().manual_seed(0))
    x[first : first + 6] = 0.0
    edges = torch.tensor([[60, first], [first, first + 1]])  # 60 -> first -> first + 1
    adjacency = Adjacency.from_edges(edges, 80, normalization="gcn")
    for hops, zero in ((0, 6), (1, 5), (2, 4)):
        found = propagated_embedding(SparseRows.from_dense(x), adjacency, hops=hops, dim=12)
        norm = found.norm(dim=1)
        assert (norm == 0).sum() == zero
        assert not norm[first + 6 - zero : first + 6].any()
        torch.testing.assert_close(norm[norm > 0], torch.ones(80 - zero))


def test_seed_hardly_matters_and_is_the_only_chance() -> None:
    data = toy_dataset()
    first = propagated_embedding(data.features, adjacency_of(data), dim=6)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert torch.equal(propagated_embedding(data.features, adjacency_of(data), dim=6), first)
    assert torch.equal(torch.get_rng_state(), state)
    other = propagated_embedding(data.features, adjacency_of(data), dim=6, seed=1)
    torch.testing.assert_close(other @ other.T, first @ first.T, rtol=1e-3, atol=1e-3)


def test_features_are_not_changed() -> None:
    data = toy_dataset()
    before = data.features.value.clone()
    propagated_embedding(data.features, adjacency_of(data))
    assert torch.equal(data.features.value, before)
