from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from gsam.datasets import load_nodes, save_folder
from gsam.fewshot import Episode, PreparedGraph
from gsam.graphs import SparseRows
from tests.fewshot.toy import dense_adjacency, toy_dataset, toy_episode


@pytest.mark.parametrize("normalization", ["rw", "gcn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_against_dense_matrices(normalization: str, weighted: bool) -> None:
    data, episode = toy_dataset(dtype=torch.float64, weighted=weighted), toy_episode()
    inputs = PreparedGraph.prepare(data, normalization=normalization).inputs(episode)
    matrix = dense_adjacency(data)
    root = matrix.sum(1).rsqrt()
    matrix = matrix / matrix.sum(1, keepdim=True) if normalization == "rw" else root[:, None] * matrix * root
    x = data.features.to_dense()
    assert inputs.nodes.tolist() == [*episode.support.flatten().tolist(), *episode.query.flatten().tolist()]
    assert inputs.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    torch.testing.assert_close(inputs.propagated.to_dense(), (matrix @ x)[inputs.block.nodes], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(inputs.features.to_dense(), x[inputs.nodes], rtol=0, atol=0)
    h = torch.randn(data.num_nodes, 3, dtype=torch.float64)
    found = inputs.block.aggregate(h[inputs.block.nodes])
    torch.testing.assert_close(found, (matrix @ h)[inputs.nodes], rtol=1e-12, atol=1e-14)


def test_degrees_count_edges_and_are_at_least_one() -> None:
    data, episode = toy_dataset(weighted=True), toy_episode()
    inputs = PreparedGraph.prepare(data).inputs(episode)
    degree = [[max(1, sum(int(t) == n for t in data.edge_index[1])) for n in row] for row in episode.support.tolist()]
    torch.testing.assert_close(inputs.support_log_degree, torch.tensor(degree).float().log())
    assert inputs.support_log_degree[1].tolist() == [0.0, 0.0, 0.0]  # isolated


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_that_of_the_features(dtype: torch.dtype) -> None:
    inputs = PreparedGraph.prepare(toy_dataset(dtype=dtype)).inputs(toy_episode())
    parts = (inputs.features.value, inputs.propagated.value, inputs.block.weight, inputs.support_log_degree)
    assert {part.dtype for part in parts} == {dtype}


def test_subgraph_has_raw_edges() -> None:
    """An unmodified PyG model on the subgraph gives the full-graph result for the episode's nodes."""
    from torch_geometric.nn import GCN

    data = toy_dataset(dtype=torch.float64)
    graph = PreparedGraph.prepare(data)
    inputs, model = graph.inputs(toy_episode()), GCN(24, 8, 2, 5).double()
    sub, x = inputs.subgraph(2), data.features.to_dense()
    found = model(x[sub.nodes], sub.edge_index)[: sub.num_seeds]
    torch.testing.assert_close(found, model(x, data.edge_index)[inputs.nodes], rtol=1e-10, atol=1e-12)
    assert graph.raw_adjacency is graph.raw_adjacency  # built once


def test_parts_have_blocks_of_their_own() -> None:
    """Supports and queries alone, cut once, equal to the rows of the whole episode."""
    data, episode = toy_dataset(dtype=torch.float64), toy_episode()
    inputs = PreparedGraph.prepare(data, normalization="gcn").inputs(episode)
    h = torch.randn(data.num_nodes, 3, dtype=torch.float64)
    whole = inputs.block.aggregate(h[inputs.block.nodes])
    for part, nodes, rows in (
        (inputs.support, episode.support, slice(0, 12)),
        (inputs.query, episode.query, slice(12, 28)),
    ):
        assert torch.equal(part.nodes, nodes.flatten())
        torch.testing.assert_close(part.block.aggregate(h[part.block.nodes]), whole[rows], rtol=1e-12, atol=1e-14)
        assert torch.equal(part.propagated.to_dense(), inputs.graph.propagated.to_dense()[part.block.nodes])
        assert torch.equal(part.features.to_dense(), inputs.features.to_dense()[rows])
        assert part.block is part.block
    assert inputs.support is inputs.support
    assert inputs.query is inputs.query
    assert inputs.support_targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("normalization", ["rw", "gcn"])
def test_row_sums(normalization: str) -> None:
    data = toy_dataset(dtype=torch.float64, weighted=True)
    graph = PreparedGraph.prepare(data, normalization=normalization)
    matrix = dense_adjacency(data)
    root = matrix.sum(1).rsqrt()
    matrix = matrix / matrix.sum(1, keepdim=True) if normalization == "rw" else root[:, None] * matrix * root
    part = graph.inputs(toy_episode()).support
    torch.testing.assert_close(graph.row_sums, matrix.sum(1), rtol=1e-12, atol=0)
    assert torch.equal(part.row_sums, graph.row_sums[part.block.nodes])


@pytest.mark.parametrize("normalization", ["rw", "gcn"])
@pytest.mark.parametrize("limit", [None, 2])
def test_features_in_their_file_give_the_same_bits(tmp_path: Path, normalization: str, limit: int | None) -> None:
    """Nothing of the whole graph's features is computed, and each part is the one from memory, bit for bit."""
    data, episode = toy_dataset(weighted=True), toy_episode()
    save_folder(data, tmp_path / "toy")
    options = {"normalization": normalization, "max_neighbors": limit}
    memory = PreparedGraph.prepare(data, **options)
    stored = PreparedGraph.prepare(load_nodes(tmp_path / "toy"), **options)
    assert stored.propagated is None
    assert (memory.propagated is None) == (limit is not None)
    for part in ("support", "query", None):
        one, other = (graph.inputs(episode) for graph in (memory, stored))
        if part is not None:
            one, other = getattr(one, part), getattr(other, part)
        for name in ("features", "propagated"):
            found, expected = getattr(other, name), getattr(one, name)
            assert found.shape == expected.shape
            assert torch.equal(found.col, expected.col)
            assert torch.equal(found.value, expected.value)
        assert torch.equal(other.block.nodes, one.block.nodes)
        assert torch.equal(other.row_sums, one.row_sums)


@pytest.mark.parametrize("normalization", ["rw", "gcn"])
def test_max_neighbors_of_all_is_exact_bit_for_bit(normalization: str) -> None:
    data, episode = toy_dataset(), toy_episode()
    limit = int(PreparedGraph.prepare(data).degree.max())
    exact = PreparedGraph.prepare(data, normalization=normalization).inputs(episode)
    found = PreparedGraph.prepare(data, normalization=normalization, max_neighbors=limit).inputs(episode)
    assert torch.equal(found.block.weight, exact.block.weight)
    assert torch.equal(found.propagated.value, exact.propagated.value)
    assert torch.equal(found.propagated.col, exact.propagated.col)


def test_max_neighbors_is_right_on_average() -> None:
    """Two linear layers over the drawn edges: the mean over graphs of other node numbers is the exact result.

    What is drawn depends on the nodes' numbers, so isolated nodes put before them draw anew.
    """
    data, episode = toy_dataset(dtype=torch.float64), toy_episode()
    exact = PreparedGraph.prepare(data).inputs(episode)
    expected = exact.block.aggregate(exact.propagated.to_dense())
    draws = []
    for shift in range(300):
        features = torch.cat([torch.zeros(shift, data.num_features, dtype=torch.float64), data.features.to_dense()])
        labels = torch.cat([torch.full((shift,), -1), data.labels])
        moved = dataclasses.replace(
            data, edge_index=data.edge_index + shift, features=SparseRows.from_dense(features), labels=labels
        )
        task = Episode(episode.classes, episode.support + shift, episode.query + shift)
        inputs = PreparedGraph.prepare(moved, max_neighbors=2).inputs(task)
        draws.append(inputs.block.aggregate(inputs.propagated.to_dense()))
    found = torch.stack(draws)
    standard = found.std(0) / len(draws) ** 0.5
    assert (standard > 1e-3).any()
    assert ((found.mean(0) - expected).abs() <= 5 * standard + 1e-12).all()


def test_the_episode_alone_decides_what_is_drawn() -> None:
    """Whatever is asked for first or was drawn elsewhere; an episode of other nodes draws otherwise."""
    data, episode = toy_dataset(), toy_episode()
    graph = PreparedGraph.prepare(data, max_neighbors=1)
    first = graph.inputs(episode)
    kept = (first.propagated.value, first.block.nodes, first.support.block.nodes)
    torch.manual_seed(7)
    again = PreparedGraph.prepare(data, max_neighbors=1).inputs(episode)
    found = (again.support.block.nodes, again.block.nodes, again.propagated.value)
    assert all(torch.equal(one, other) for one, other in zip(kept, reversed(found), strict=True))
    count = len(episode.nodes)
    assert len(first.block.nodes) <= 2 * count
    other = graph.inputs(Episode(episode.classes, episode.support, episode.query + 9))
    shared = len(episode.support.flatten())
    sources = [
        {(s, t) for s, t in inputs.block.edge_index.T.tolist() if t < shared and s != t} for inputs in (first, other)
    ]
    names = [
        {(int(inputs.block.nodes[s]), t) for s, t in edges}
        for inputs, edges in zip((first, other), sources, strict=True)
    ]
    assert names[0] != names[1]


def test_the_subgraph_stays_whole() -> None:
    data, episode = toy_dataset(), toy_episode()
    whole = PreparedGraph.prepare(data).inputs(episode).subgraph(2)
    assert torch.equal(PreparedGraph.prepare(data, max_neighbors=1).inputs(episode).subgraph(2).nodes, whole.nodes)


def test_max_neighbors_out_of_range() -> None:
    with pytest.raises(ValueError, match="expected max_neighbors >= 1, or None for all, found 0"):
        PreparedGraph.prepare(toy_dataset(), max_neighbors=0)
