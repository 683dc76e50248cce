from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from gsam.graphs import Adjacency, SparseRows, convolve
from gsam.graphs.convolve import _ONE_HOP

F, H, D = 6, 3, 2


def mlp(inputs: int, outputs: int = H) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


ATTRIBUTES = {"edge_attr": lambda e: torch.rand(e, D, dtype=torch.float64)}
TYPES = {"edge_type": lambda e: torch.randint(0, 3, (e,))}
DEGREES = torch.tensor([7, 8, 9, 10, 4, 2])
# name of the case: layer, inputs per edge
ONE_HOP: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "AGNNConv": (lambda: gnn.AGNNConv(), {}),
    "CGConv": (lambda: gnn.CGConv(F, D), ATTRIBUTES),
    "ClusterGCNConv": (lambda: gnn.ClusterGCNConv(F, H, diag_lambda=0.5), {}),
    "EdgeConv": (lambda: gnn.EdgeConv(mlp(2 * F)), {}),
    "FeaStConv": (lambda: gnn.FeaStConv(F, H, heads=2), {}),
    "FiLMConv": (lambda: gnn.FiLMConv(F, H, num_relations=3), TYPES),
    "GATConv": (lambda: gnn.GATConv(F, H, heads=2), {}),
    "GATConv no loops": (lambda: gnn.GATConv(F, H, add_self_loops=False), {}),
    "GATConv mean loops": (lambda: gnn.GATConv(F, H, edge_dim=D, fill_value="mean", residual=True), ATTRIBUTES),
    "GATv2Conv": (lambda: gnn.GATv2Conv(F, H, heads=2, edge_dim=D), ATTRIBUTES),
    "GENConv": (lambda: gnn.GENConv(F, H, norm="layer", learn_t=True, edge_dim=D), ATTRIBUTES),
    "GINConv": (lambda: gnn.GINConv(mlp(F), train_eps=True), {}),
    "GINEConv": (lambda: gnn.GINEConv(mlp(F), edge_dim=D), ATTRIBUTES),
    "GMMConv": (lambda: gnn.GMMConv(F, H, dim=D, kernel_size=2), ATTRIBUTES),
    "GeneralConv": (lambda: gnn.GeneralConv(F, H, D, attention=True, l2_normalize=True), ATTRIBUTES),
    "GraphConv": (lambda: gnn.GraphConv(F, H), {}),
    "GraphConv max": (lambda: gnn.GraphConv(F, H, aggr="max"), {}),
    "LEConv": (lambda: gnn.LEConv(F, H), {}),
    "MFConv": (lambda: gnn.MFConv(F, H), {}),
    "NNConv": (lambda: gnn.NNConv(F, H, mlp(D, F * H)), ATTRIBUTES),
    "PNAConv": (
        lambda: gnn.PNAConv(F, H, ["mean", "std", "max"], ["identity", "amplification", "attenuation"], DEGREES),
        {},
    ),
    "RGCNConv": (lambda: gnn.RGCNConv(F, H, num_relations=3), TYPES),
    "ResGatedGraphConv": (lambda: gnn.ResGatedGraphConv(F, H, edge_dim=D), ATTRIBUTES),
    "SAGEConv": (lambda: gnn.SAGEConv(F, H), {}),
    "SAGEConv normalize": (lambda: gnn.SAGEConv(F, H, normalize=True, project=True), {}),
    "SAGEConv several": (lambda: gnn.SAGEConv(F, H, aggr=["mean", "softmax", "std"]), {}),
    "SimpleConv self_loop": (lambda: gnn.SimpleConv(combine_root="self_loop"), {}),
    "SimpleConv cat": (lambda: gnn.SimpleConv("mean", combine_root="cat"), {}),
    "TransformerConv": (lambda: gnn.TransformerConv(F, H, edge_dim=D, beta=True), ATTRIBUTES),
    "WLConvContinuous": (lambda: gnn.WLConvContinuous(), {}),
}
# a spline kernel needs a compiled extension that is not a dependency
UNTESTED = {"SplineConv"}


def test_every_layer_that_is_let_through_is_tested():
    assert {name.split()[0] for name in ONE_HOP} | UNTESTED == _ONE_HOP
    assert all(hasattr(gnn, name) for name in _ONE_HOP)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ONE_HOP)
def test_layer_on_raw_edges_equals_the_full_graph(graph, name, weighted, device, assert_same_result):
    make, inputs = ONE_HOP[name]
    torch.manual_seed(0)
    conv = make().to(device, torch.float64)
    edge_inputs = {key: draw(graph.edge_index.shape[1]).to(device) for key, draw in inputs.items()}
    weight = graph.edge_weight.to(device) if weighted else None
    x = graph.x.to(device).requires_grad_()
    # blocks have their edges by target, so sums round alike
    order = torch.sort(graph.edge_index[1], stable=True).indices.to(device)
    edge_index = graph.edge_index.to(device)
    takes_weight = weighted and "edge_weight" in inspect.signature(conv.forward).parameters
    full_inputs = {**edge_inputs, **({"edge_weight": weight} if takes_weight else {})}
    full = conv(x, edge_index[:, order], **{key: value[order] for key, value in full_inputs.items()})
    adjacency = Adjacency.from_edges(edge_index, graph.num_nodes, weight, normalization=None, dtype=torch.float64)
    (block,) = adjacency.blocks(graph.seeds, 1)
    found = convolve(conv, x[block.nodes], block, **{key: v[block.edge_id] for key, v in edge_inputs.items()})
    assert_same_result(found, full[graph.seeds.to(device)], [x, *conv.parameters()], 1e-10)


def gcn_adjacency(graph, weighted: bool, **options: Any) -> Adjacency:
    weight = graph.edge_weight if weighted else None
    return Adjacency.from_edges(graph.edge_index, graph.num_nodes, weight, dtype=torch.float64, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"add_self_loops": False}, {"cached": True}])
def test_gcn_equals_the_full_graph(graph, weighted, hooked, options, assert_same_result):
    conv = gnn.GCNConv(F, H, **options).double()
    calls: list[int] = []
    if hooked:  # the general path
        conv.register_forward_hook(lambda *_: calls.append(1))
    x = graph.x.clone().requires_grad_()
    full = conv(x, graph.edge_index, graph.edge_weight if weighted else None)[graph.seeds]
    adjacency = gcn_adjacency(graph, weighted, self_loops=options.get("add_self_loops", True))
    (block,) = adjacency.blocks(graph.seeds, 1)
    found = convolve(conv, x[block.nodes], block)
    assert_same_result(found, full, [x, *conv.parameters()], 1e-10)
    assert len(calls) == 2 * hooked
    assert conv.normalize


def test_gcn_subclass_keeps_its_own_message(graph):
    class Doubled(gnn.GCNConv):
        def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
            return 2.0 * edge_weight.view(-1, 1) * x_j

    conv = Doubled(F, H).double()
    (block,) = gcn_adjacency(graph, False).blocks(graph.seeds, 1)
    expected = conv(graph.x, graph.edge_index)[graph.seeds]
    torch.testing.assert_close(convolve(conv, graph.x[block.nodes], block), expected)


def test_gcn_without_normalization_uses_the_weights_of_any_adjacency(graph, assert_same_result):
    conv = gnn.GCNConv(F, H, normalize=False).double()
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, graph.edge_weight, normalization="rw")
    (block,) = adjacency.blocks(graph.seeds, 1)
    full = conv(graph.x, adjacency.edge_index, adjacency.edge_weight)[graph.seeds]
    assert_same_result(convolve(conv, graph.x[block.nodes], block), full, list(conv.parameters()), 1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_lightgcn_equals_the_full_graph(graph, weighted):
    conv = gnn.LGConv()
    (block,) = gcn_adjacency(graph, weighted, self_loops=False).blocks(graph.seeds, 1)
    expected = conv(graph.x, graph.edge_index, graph.edge_weight if weighted else None)[graph.seeds]
    torch.testing.assert_close(convolve(conv, graph.x[block.nodes], block), expected, rtol=1e-10, atol=1e-10)


def test_gcn_on_sparse_features_equals_dense(graph, assert_same_result):
    conv = gnn.GCNConv(F, H).double()
    (block,) = gcn_adjacency(graph, True).blocks(graph.seeds, 1)
    features = SparseRows.from_dense(graph.x).rows(block.nodes)
    full = conv(graph.x, graph.edge_index, graph.edge_weight)[graph.seeds]
    assert_same_result(convolve(conv, features, block), full, list(conv.parameters()), 1e-10)
    (raw,) = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None).blocks(graph.seeds, 1)
    features = SparseRows.from_dense(graph.x).rows(raw.nodes)
    with pytest.raises(TypeError, match=r"not SAGEConv; pass x\.to_dense\(\)"):
        convolve(gnn.SAGEConv(F, H), features, raw)


def test_two_attention_layers_on_two_blocks(graph, assert_same_result):
    convs = nn.ModuleList([gnn.GATConv(F, 4, heads=2), gnn.GATConv(8, H)]).double()
    full = convs[1](convs[0](graph.x, graph.edge_index).relu(), graph.edge_index)[graph.seeds]
    adjacency = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None)
    outer, inner = adjacency.blocks(graph.seeds, 2)
    found = convolve(convs[1], convolve(convs[0], graph.x[outer.nodes], outer).relu(), inner)
    assert_same_result(found, full, list(convs.parameters()), 1e-10)


MULTI_HOP: list[Callable[[], nn.Module]] = [
    lambda: gnn.SGConv(F, H, K=2),
    lambda: gnn.SSGConv(F, H, alpha=0.1, K=2),
    lambda: gnn.APPNP(2, 0.1),
    lambda: gnn.TAGConv(F, H),
    lambda: gnn.ChebConv(F, H, 3),
    lambda: gnn.MixHopConv(F, H),
    lambda: gnn.ARMAConv(F, H),
    lambda: gnn.GatedGraphConv(F, 2),
    lambda: gnn.EGConv(F, 8),
    lambda: gnn.GCN2Conv(F, 0.1),
    lambda: gnn.FAConv(F),
]


@pytest.mark.parametrize("make", MULTI_HOP)
def test_layers_that_look_further_are_refused(graph, make):
    (block,) = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None).blocks(graph.seeds, 1)
    with pytest.raises(ValueError, match=r"not known to be exact .* adjacency\.subgraph"):
        convolve(make().double(), graph.x[block.nodes], block)


@pytest.mark.parametrize("aggr", ["lstm", "gru"])
def test_aggregations_that_run_over_padding_are_refused(graph, aggr):
    conv = gnn.SAGEConv(F, H, aggr=aggr, aggr_kwargs={"in_channels": F, "out_channels": F}).double()
    (block,) = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None).blocks(graph.seeds, 1)
    with pytest.raises(ValueError, match="LSTM or GRU"):
        convolve(conv, graph.x[block.nodes], block)


def test_unknown_layer_can_be_vouched_for(graph):
    class Largest(gnn.MessagePassing):
        def __init__(self) -> None:
            super().__init__(aggr="max")

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x) - x

    conv = Largest()
    (block,) = Adjacency.from_edges(graph.edge_index, graph.num_nodes, normalization=None).blocks(graph.seeds, 1)
    with pytest.raises(ValueError, match="pass one_hop=True"):
        convolve(conv, graph.x[block.nodes], block)
    found = convolve(conv, graph.x[block.nodes], block, one_hop=True)
    assert torch.equal(found, conv(graph.x, graph.edge_index)[graph.seeds])


@pytest.mark.parametrize(
    ("conv", "options", "message"),
    [
        (gnn.GCNConv(F, H), {"normalization": None}, "'gcn', self_loops=True, found normalization=None"),
        (gnn.GCNConv(F, H), {"self_loops": False}, "found normalization='gcn', self_loops=False"),
        (gnn.GCNConv(F, H, add_self_loops=False), {}, "'gcn', self_loops=False, found"),
        (gnn.LGConv(), {}, "'gcn', self_loops=False, found"),
        (gnn.GCNConv(F, H, improved=True), {}, "use a subgraph"),
        (gnn.SAGEConv(F, H), {}, "normalization=None, found normalization='gcn'"),
        (gnn.GATConv(F, H), {"normalization": None, "self_loops": True}, "normalization=None, found"),
        (gnn.SAGEConv(F, H, flow="target_to_source"), {"normalization": None}, "flip the edges"),
    ],
)
def test_blocks_of_the_wrong_kind_are_refused(graph, conv, options, message):
    (block,) = gcn_adjacency(graph, False, **options).blocks(graph.seeds, 1)
    with pytest.raises(ValueError, match=message):
        convolve(conv.double(), graph.x[block.nodes], block)


def test_one_row_per_source(graph):
    (block,) = gcn_adjacency(graph, False).blocks(graph.seeds, 1)
    with pytest.raises(ValueError, match="one row per source"):
        convolve(gnn.GCNConv(F, H).double(), graph.x, block)
