from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch_geometric.nn import GCNConv, SAGEConv

from gsam.graphs import Adjacency, convolve
from gsam.graphs._sample import distinct_numbers

SCHEMES = [("gcn", True), ("rw", True), ("rw", False), (None, False)]


def adjacency_of(graph, normalization: str | None = "rw", loops: bool | None = None) -> Adjacency:
    return Adjacency.from_edges(
        graph.edge_index, graph.num_nodes, graph.edge_weight, normalization=normalization, self_loops=loops
    )


def test_every_set_of_numbers_is_equally_likely():
    """Counts of all 4-choose-2 and 5-choose-2 sets against the multinomial, by chi-squared (p > 0.001)."""
    draws = 6000
    sizes = np.tile([4, 5], draws)
    found = distinct_numbers(sizes, 2, np.random.default_rng(0))
    assert (np.diff(found, axis=1) > 0).all()
    for size, bound in ((4, 20.52), (5, 27.88)):  # 5 and 9 degrees of freedom
        sets = [tuple(pair) for pair in found[sizes == size].tolist()]
        expected = draws / len(list(combinations(range(size), 2)))
        counts = [sets.count(pair) for pair in combinations(range(size), 2)]
        assert sum(counts) == draws
        assert sum((count - expected) ** 2 / expected for count in counts) < bound


@pytest.mark.parametrize(("normalization", "loops"), SCHEMES)
def test_a_large_limit_gives_the_exact_blocks_bit_for_bit(graph, normalization, loops, device):
    adjacency = adjacency_of(graph, normalization, loops).to(device)
    limit = int(adjacency.degree.max())
    exact = adjacency.blocks(graph.seeds.to(device), 2)
    for found, expected in zip(adjacency.blocks(graph.seeds.to(device), 2, max_neighbors=limit), exact, strict=True):
        assert torch.equal(found.nodes, expected.nodes)
        assert torch.equal(found.matrix.rowptr, expected.matrix.rowptr)
        assert torch.equal(found.edge_index, expected.edge_index)
        assert torch.equal(found.weight, expected.weight)
        assert (found.edge_id is None) == (expected.edge_id is None)
        if found.edge_id is not None:
            assert torch.equal(found.edge_id, expected.edge_id)


@pytest.mark.parametrize(("normalization", "loops"), SCHEMES)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_what_a_block_holds(graph, normalization, loops, limit):
    """Edges of the graph, each once, as many as allowed, in its order; the self-loop that was given; bounded size."""
    adjacency = adjacency_of(graph, normalization, loops)
    exact = adjacency.matrix.view
    seeds = graph.seeds.unique()
    for layers in (1, 2, 3):
        blocks = adjacency.blocks(seeds, layers, max_neighbors=limit, seed=5)
        assert blocks[0].nodes.numel() <= len(seeds) * sum(limit**hop for hop in range(layers + 1))
        for block in blocks:
            rowptr = block.matrix.rowptr.tolist()
            for row, node in enumerate(block.nodes[: block.num_targets].tolist()):
                part = slice(rowptr[row], rowptr[row + 1])
                found = list(
                    zip(block.nodes[block.matrix.col[part].long()].tolist(), block.weight[part].tolist(), strict=True)
                )
                whole = slice(exact.indptr[node], exact.indptr[node + 1])
                entries = list(zip(exact.indices[whole].tolist(), exact.data[whole].tolist(), strict=True))
                if loops:
                    assert found.pop() == (node, entries.pop()[1])
                assert len(found) == min(limit, len(entries))
                scale = max(len(entries) / limit, 1.0)
                left = iter((source, weight * scale) for source, weight in entries)
                # a subsequence: each is found further on among what is left
                assert all(
                    any(s == source and w == pytest.approx(weight, rel=1e-12) for s, w in left)
                    for source, weight in found
                )


@pytest.mark.parametrize(("normalization", "loops"), [("gcn", True), ("rw", True), (None, False)])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_mean_of_many_draws_is_the_exact_sum(graph, normalization, loops, layers):
    """Each entry within 4.5 standard errors of the exact one, for one aggregation and for two in a row."""
    adjacency = adjacency_of(graph, normalization, loops)
    seeds, h, draws = graph.seeds.unique(), graph.x[:, :3], 600
    found = torch.stack([_propagated(adjacency, h, seeds, layers, number) for number in range(draws)])
    exact = _propagated(adjacency, h, seeds, layers, None)
    error = (found.mean(0) - exact).abs()
    standard = found.std(0) / draws**0.5
    assert (standard > 1e-3).any(), "nothing was left to chance"
    assert (error <= 4.5 * standard + 1e-12).all()


def _propagated(adjacency: Adjacency, h: torch.Tensor, seeds: torch.Tensor, layers: int, number: int | None):
    limit = None if number is None else 2
    blocks = adjacency.blocks(seeds, layers, max_neighbors=limit, seed=(7, number or 0))
    rows = h[blocks[0].nodes]
    for block in blocks:
        rows = block.aggregate(rows)
    return rows


def test_the_seed_alone_decides(graph):
    adjacency = adjacency_of(graph)
    first = adjacency.blocks(graph.seeds, 2, max_neighbors=2, seed=(3, 1))
    np.random.default_rng(0).random(100)
    torch.manual_seed(5)
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = adjacency.blocks(graph.seeds, 2, max_neighbors=2, seed=(3, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.nodes, other.nodes)
        assert torch.equal(one.weight, other.weight)
    others = [adjacency.blocks(graph.seeds, 2, max_neighbors=1, seed=(3, n))[0].nodes.tolist() for n in range(6)]
    assert len({tuple(nodes) for nodes in others}) > 1
    inner = adjacency.blocks(graph.seeds, 1, max_neighbors=2, seed=(3, 1))[0]
    assert torch.equal(inner.nodes, first[1].nodes)


def test_cost_does_not_depend_on_the_neighbours_there_are():
    """A star of 10^5 leaves: what is allocated for its centre is that of a few edges."""
    import tracemalloc

    leaves = torch.arange(1, 100_001)
    adjacency = Adjacency.from_edges(torch.stack([leaves, torch.zeros_like(leaves)]), 100_001)
    adjacency.blocks(torch.tensor([0]), 1, max_neighbors=5)  # labels are made at the first call
    tracemalloc.start()
    block = adjacency.blocks(torch.tensor([0]), 1, max_neighbors=5, seed=1)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert block.nodes.numel() == 6
    assert peak < 50_000


def test_which_layers_take_such_blocks(graph):
    """A GCN takes the weights and is right on average; a layer that reads raw edges is refused."""
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization="gcn", dtype=torch.float64)
    seeds, conv = graph.seeds.unique(), GCNConv(6, 4).double()
    with torch.no_grad():
        draws = [
            convolve(conv, graph.x[block.nodes], block)
            for number in range(500)
            for block in adjacency.blocks(seeds, 1, max_neighbors=1, seed=number)
        ]
        found, exact = torch.stack(draws), conv(graph.x, graph.edge_index)[seeds]
    assert ((found.mean(0) - exact).abs() <= 4.5 * found.std(0) / 500**0.5 + 1e-12).all()
    raw = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None)
    block = raw.blocks(graph.seeds, 1, max_neighbors=2)[0]
    with pytest.raises(ValueError, match="only some of them; take blocks without max_neighbors"):
        convolve(SAGEConv(6, 4).double(), graph.x[block.nodes], block)


def test_what_is_refused(graph):
    adjacency = adjacency_of(graph)
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"max_neighbors must be at least 1, or None for all, found {limit}"):
            adjacency.blocks(graph.seeds, 1, max_neighbors=limit)


def test_no_seeds(graph):
    outer, inner = adjacency_of(graph).blocks(torch.tensor([]), 2, max_neighbors=2)
    assert inner.num_targets == outer.nodes.numel() == 0
