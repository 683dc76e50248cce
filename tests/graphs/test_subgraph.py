from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from gsam.graphs import Adjacency

F, H = 6, 3


class Stack(nn.Module):
    """Layers of any kind with a nonlinearity in between."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        for depth, layer in enumerate(self.layers):
            x = x if depth == 0 else x.tanh()
            takes_weight = edge_weight is not None and "edge_weight" in inspect.signature(layer.forward).parameters
            x = layer(x, edge_index, edge_weight) if takes_weight else layer(x, edge_index)
        return x


def mlp(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


# model, how far it looks, halo it needs
MODELS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "GCN": (lambda: gnn.GCN(F, 8, 2, H), 2, 1),
    "GCN improved": (lambda: Stack(gnn.GCNConv(F, 4, improved=True), gnn.GCNConv(4, H)), 2, 1),
    "GraphSAGE": (lambda: gnn.GraphSAGE(F, 8, 2, H), 2, 0),
    "GAT": (lambda: gnn.GAT(F, 8, 2, H, heads=2), 2, 0),
    "GIN": (lambda: gnn.GIN(F, 8, 2, H), 2, 0),
    "PNA": (
        lambda: gnn.PNA(F, 8, 2, H, aggregators=["mean", "max"], scalers=["amplification"], deg=torch.arange(1, 9)),
        2,
        0,
    ),
    "GraphConv": (lambda: Stack(gnn.GraphConv(F, 4), gnn.GraphConv(4, H)), 2, 0),
    "SGConv": (lambda: Stack(gnn.SGConv(F, 4, K=2), gnn.SGConv(4, H, K=1)), 3, 1),
    "APPNP": (lambda: Stack(gnn.SAGEConv(F, H), gnn.APPNP(2, 0.1)), 3, 1),
    "TAGConv": (lambda: Stack(gnn.TAGConv(F, 4, K=2), gnn.TAGConv(4, H, K=1)), 3, 1),
    "MixHopConv": (lambda: gnn.MixHopConv(F, H, [0, 1, 2]), 2, 1),
    "ARMAConv": (lambda: gnn.ARMAConv(F, H, num_layers=2), 2, 1),
    "GatedGraphConv": (lambda: gnn.GatedGraphConv(F, 2), 2, 0),
    "EGConv": (lambda: Stack(gnn.EGConv(F, 8, aggregators=["symnorm", "max"]), gnn.EGConv(8, 8)), 2, 1),
}


def run(model: nn.Module, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> Tensor:
    takes_weight = edge_weight is not None and "edge_weight" in inspect.signature(model.forward).parameters
    supports = takes_weight and getattr(model, "supports_edge_weight", True)
    return model(x, edge_index, edge_weight) if supports else model(x, edge_index)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", MODELS)
def test_unmodified_model_equals_the_full_graph(graph, name, weighted, dtype, tolerance, assert_same_result):
    make, hops, halo = MODELS[name]
    torch.manual_seed(0)
    model = make().to(dtype).eval()
    weight = graph.edge_weight.to(dtype) if weighted else None
    x = graph.x.to(dtype).requires_grad_()
    full = run(model, x, graph.edge_index, weight)[graph.seeds]
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, weight, normalization=None)
    sub = adjacency.subgraph(graph.seeds, hops, halo)
    found = run(model, x[sub.nodes], sub.edge_index, sub.edge_weight)[: sub.num_seeds]
    assert_same_result(found, full, [x, *model.parameters()], tolerance)


@pytest.mark.parametrize("name", ["GCN", "SGConv", "TAGConv"])
def test_halo_is_needed_where_sources_are_normalised(graph, name):
    make, hops, _ = MODELS[name]
    model = make().double().eval()
    full = model(graph.x, graph.edge_index)[graph.seeds]
    sub = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None).subgraph(graph.seeds, hops, 0)
    found = model(graph.x[sub.nodes], sub.edge_index)[: sub.num_seeds]
    assert (found - full).abs().max() > 1e-6


def test_out_degrees_on_an_undirected_graph_need_two_halo_hops(assert_same_result):
    torch.manual_seed(0)
    edges = torch.randint(0, 60, (2, 70))
    edges = torch.cat([edges, edges.flip(0)], dim=1)
    model = Stack(gnn.ChebConv(F, 4, K=3), gnn.ChebConv(4, H, K=2)).double()  # K - 1 hops each
    x, seeds = torch.randn(60, F, dtype=torch.float64), torch.tensor([3, 40])
    full = model(x, edges)[seeds]
    adjacency = Adjacency.from_edges(edges, 60, normalization=None)
    sub = adjacency.subgraph(seeds, hops=3, halo=2)
    assert sub.nodes.unique().numel() < 60
    assert_same_result(model(x[sub.nodes], sub.edge_index)[: sub.num_seeds], full, list(model.parameters()), 1e-10)
    short = adjacency.subgraph(seeds, hops=3, halo=1)
    assert (model(x[short.nodes], short.edge_index)[: short.num_seeds] - full).abs().max() > 1e-6


def test_edges_are_the_graphs_own(graph):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight, normalization=None)
    sub = adjacency.subgraph(graph.seeds, 1)
    assert torch.equal(sub.nodes[: sub.num_seeds], graph.seeds)
    assert torch.equal(sub.nodes[sub.edge_index], graph.edge_index[:, sub.edge_id])
    assert torch.equal(sub.edge_weight, graph.edge_weight[sub.edge_id])
    # each node within one hop has every in-edge, as often as it is there
    for seed in graph.seeds.tolist():
        near = {seed, *graph.edge_index[0, graph.edge_index[1] == seed].tolist()}
        for node in near:
            local = (sub.nodes == node).nonzero().squeeze(1)
            for copy in local.tolist():
                assert (sub.edge_index[1] == copy).sum() == (graph.edge_index[1] == node).sum()


def test_without_weights_there_are_none(graph, device):
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None)
    sub = adjacency.subgraph(graph.seeds, 2).to(device)
    assert sub.edge_weight is None
    assert {part.device.type for part in (sub.nodes, sub.edge_index, sub.edge_id)} == {device}


def test_real_graph(photo, assert_same_result):
    edge_index, features = photo
    x = torch.from_numpy(features[:, :40].toarray())
    model = gnn.GCN(40, 16, 2, 8).eval()
    seeds = torch.tensor([5, 1000, 7649])
    sub = Adjacency.from_edges(edge_index, features.shape[0], normalization=None).subgraph(seeds, 2)
    found = model(x[sub.nodes], sub.edge_index)[: sub.num_seeds]
    assert_same_result(found, model(x, edge_index)[seeds], list(model.parameters()), 1e-5)


def test_bad_arguments_raise(graph):
    with pytest.raises(ValueError, match=r"normalization='gcn'.*normalization=None\)"):
        Adjacency.from_edges(graph.edge_index, graph.num_nodes).subgraph(graph.seeds, 1)
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None)
    for hops, halo in ((0, 1), (1, -1)):
        with pytest.raises(ValueError, match=f"found hops={hops}, halo={halo}"):
            adjacency.subgraph(graph.seeds, hops, halo)
