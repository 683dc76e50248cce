from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP, peers_spatial
from tests.contracts.peer_contract import CONDITIONS, cases_in, check


@pytest.mark.parametrize(("dtype", "training", "device"), CONDITIONS)
@pytest.mark.parametrize("case", cases_in(peers_spatial), ids=str)
def test_peer_equals_the_layer_on_self_loops(case, dtype, training, device):
    check(case, dtype, training=training, device=device)


def test_sage_peer_by_formula():
    conv, x = pyg.SAGEConv(3, 2), torch.randn(5, 3)
    expected = x @ (conv.lin_l.weight + conv.lin_r.weight).t() + conv.lin_l.bias
    assert torch.allclose(PeerMLP(conv)(x), expected, atol=1e-6)


def test_gin_peer_by_formula():
    conv, x = pyg.GINConv(nn.Linear(3, 2), eps=0.5), torch.randn(5, 3)
    assert torch.allclose(PeerMLP(conv)(x), conv.nn(2.5 * x), atol=1e-6)


@pytest.mark.parametrize(
    "conv",
    [pyg.ResGatedGraphConv(3, 2, edge_dim=4), pyg.PNAConv(3, 2, ["mean"], ["identity"], torch.ones(2), edge_dim=4)],
    ids=str,
)
def test_layers_built_for_edge_features_are_refused(conv):
    peer, x = PeerMLP(conv), torch.randn(5, 3)
    with pytest.raises(ValueError, match="edge_dim"):
        peer(x)
    with pytest.raises(ValueError, match="got edge_attr"):
        peer(x, edge_attr=torch.ones(5, 4))


def test_gated_graph_conv_names_the_width_it_expected():
    with pytest.raises(ValueError, match="at most 4 features, found 5"):
        PeerMLP(pyg.GatedGraphConv(4, 2))(torch.randn(3, 5))
