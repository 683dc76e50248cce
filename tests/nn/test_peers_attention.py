from __future__ import annotations

import pytest
import torch
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP, peers_attention
from tests.contracts.peer_contract import CONDITIONS, cases_in, check


@pytest.mark.parametrize(("dtype", "training", "device"), CONDITIONS)
@pytest.mark.parametrize("case", cases_in(peers_attention), ids=str)
def test_peer_equals_the_layer_on_self_loops(case, dtype, training, device):
    check(case, dtype, training=training, device=device)


@pytest.mark.parametrize("concat", [True, False])
def test_gat_peer_by_formula(concat):
    conv, x = pyg.GATConv(3, 2, heads=4, concat=concat), torch.randn(5, 3)
    heads = (x @ conv.lin.weight.t()).view(5, 4, 2)
    expected = heads.reshape(5, 8) if concat else heads.mean(1)
    assert torch.allclose(PeerMLP(conv)(x), expected + conv.bias, atol=1e-6)


def test_every_parameter_gets_a_gradient_and_attention_gets_zero():
    conv, x = pyg.GATv2Conv(3, 2, heads=2), torch.randn(5, 3)
    names, parameters = zip(*conv.named_parameters(), strict=True)
    grads = dict(zip(names, torch.autograd.grad(PeerMLP(conv)(x).square().sum(), parameters), strict=True))
    assert grads["att"].abs().max() == 0
    assert grads["lin_r.weight"].abs().max() == 0
    assert grads["lin_l.weight"].abs().max() > 0


WITH_EDGES = [pyg.GATConv(3, 2, edge_dim=4), pyg.GATv2Conv(3, 2, edge_dim=4), pyg.TransformerConv(3, 2)]


@pytest.mark.parametrize("conv", WITH_EDGES, ids=str)
def test_edge_features_and_attention_weights_are_refused(conv):
    peer, x = PeerMLP(conv), torch.randn(5, 3)
    with pytest.raises(ValueError, match="got edge_attr, expected none"):
        peer(x, edge_attr=torch.ones(5, 4))
    with pytest.raises(ValueError, match="got return_attention_weights=True"):
        peer(x, return_attention_weights=True)


def test_a_transformer_with_edge_features_has_no_peer():
    with pytest.raises(ValueError, match="edge_dim"):
        PeerMLP(pyg.TransformerConv(3, 2, edge_dim=4))(torch.randn(5, 3))
