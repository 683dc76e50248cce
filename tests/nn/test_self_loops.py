from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP, peer_registry, self_loop_peer
from gsam.nn.self_loops import refuse_edge_data, self_loops

LOOPS = torch.tensor([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])


def test_self_loops_connect_each_row_with_itself():
    assert torch.equal(self_loops(5), LOOPS)
    assert self_loops(0).shape == (2, 0)


def test_slow_peer_is_the_layer_on_self_loops_whatever_graph_it_is_called_with():
    conv, x = pyg.GCNConv(3, 2), torch.randn(5, 3)
    graph = torch.tensor([[0, 1, 4, 3], [1, 2, 0, 0]])
    out = self_loop_peer(conv, x, graph, edge_weight=torch.rand(4))
    assert torch.equal(out, conv(x, LOOPS))
    assert torch.equal(self_loop_peer(conv, x, edge_index=graph), conv(x, LOOPS))


def test_slow_peer_finds_the_edge_index_behind_other_arguments():
    conv, x, x0 = pyg.FAConv(3), torch.randn(5, 3), torch.randn(5, 3)
    graph = torch.tensor([[0, 1, 4, 3], [1, 2, 0, 0]])
    assert torch.equal(self_loop_peer(conv, x, x0, graph), conv(x, x0, LOOPS))


@pytest.mark.parametrize("name", ["edge_attr", "edge_type"])
def test_slow_peer_refuses_edge_data(name):
    class Conv(pyg.MessagePassing):
        def forward(self, x, edge_index, edge_attr=None, edge_type=None):
            return self.propagate(edge_index, x=x)

    x = torch.randn(5, 3)
    assert torch.equal(self_loop_peer(Conv(), x, LOOPS), x)
    with pytest.raises(ValueError, match=f"Conv got {name}, expected none"):
        self_loop_peer(Conv(), x, LOOPS, **{name: torch.ones(5)})


def test_refusal_names_the_layer_and_the_way_out():
    refuse_edge_data(nn.Linear(1, 1), None)
    with pytest.raises(ValueError, match=r"register_peer\(Linear, rule\)"):
        refuse_edge_data(nn.Linear(1, 1), torch.ones(3))


def test_slow_peer_neither_reads_nor_fills_the_cache_of_the_layer(monkeypatch):
    monkeypatch.setattr(peer_registry, "_RULES", {pyg.GCNConv: self_loop_peer})
    monkeypatch.setattr(peer_registry, "_FOUND", {})
    conv, x = pyg.GCNConv(3, 2, cached=True), torch.randn(5, 3)
    expected = PeerMLP(conv)(x)
    assert conv._cached_edge_index is None
    conv(x, torch.tensor([[0, 1, 4, 3], [1, 2, 0, 0]]))
    assert torch.equal(PeerMLP(conv)(x), expected)
    assert conv._cached_edge_index is not None
