from __future__ import annotations

import pytest
import torch
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP, peers_spectral
from tests.contracts.peer_contract import CONDITIONS, cases_in, check


@pytest.mark.parametrize(("dtype", "training", "device"), CONDITIONS)
@pytest.mark.parametrize("case", cases_in(peers_spectral), ids=str)
def test_peer_equals_the_layer_on_self_loops(case, dtype, training, device):
    check(case, dtype, training=training, device=device)


def test_gcn_peer_by_hand():
    conv = pyg.GCNConv(2, 2)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        conv.bias.copy_(torch.tensor([10.0, 20.0]))
    assert PeerMLP(conv)(torch.tensor([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[13.0, 27.0], [14.0, 28.0]]


def test_cheb_peer_by_hand():
    """c = 2/1.6 - 1 = 0.25: T = 1, c, 2c^2 - 1, 4c^3 - 3c."""
    conv, x = pyg.ChebConv(3, 2, K=4).double(), torch.randn(5, 3, dtype=torch.float64)
    terms = [1, 0.25, -0.875, -0.6875]
    expected = sum(t * (x @ lin.weight.t()) for t, lin in zip(terms, conv.lins, strict=True)) + conv.bias
    assert torch.allclose(PeerMLP(conv)(x, lambda_max=1.6), expected, atol=1e-12)


def test_unnormalised_cheb_needs_lambda_max():
    conv, x = pyg.ChebConv(3, 2, K=2, normalization=None), torch.randn(5, 3)
    with pytest.raises(ValueError, match="pass the lambda_max"):
        PeerMLP(conv)(x)


def test_appnp_dropout_by_hand():
    """PyG drops from the edges left by the step before: d is 2, 4, 8 if an edge survives all three (1 row in 8)."""
    torch.manual_seed(0)
    x = torch.ones(40_000, 1, dtype=torch.float64)
    out = PeerMLP(pyg.APPNP(K=3, alpha=0.2, dropout=0.5))(x)
    survived = 0.8 * 8 * (0.8 * 4 * (0.8 * 2 + 0.2) + 0.2) + 0.2
    assert torch.allclose(out.unique(), torch.tensor([0.2, survived], dtype=torch.float64))
    assert abs((out > 1).double().mean().item() - 1 / 8) < 5 * (7 / 64 / 40_000) ** 0.5


@pytest.mark.parametrize("conv", [pyg.LGConv(), pyg.APPNP(2, 0.1)], ids=str)
def test_result_may_be_changed_in_place(conv):
    x = torch.ones(3, 2)
    PeerMLP(conv)(x).zero_()
    assert torch.equal(x, torch.ones(3, 2))


@pytest.mark.parametrize("build", [lambda: pyg.GCNConv(3, 2, cached=True), lambda: pyg.SGConv(3, 2, cached=True)])
def test_cache_of_the_layer_is_neither_read_nor_written(build):
    torch.manual_seed(0)
    conv, x = build(), torch.randn(4, 3)
    graph = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    expected = PeerMLP(conv)(x)
    on_graph = conv(x, graph)  # fills the cache
    cached = {name: value for name, value in vars(conv).items() if name.startswith("_cached")}
    assert any(value is not None for value in cached.values())
    assert torch.equal(PeerMLP(conv)(x), expected)
    assert all(vars(conv)[name] is value for name, value in cached.items())
    assert torch.equal(conv(x, graph), on_graph)
    assert not torch.allclose(expected, on_graph)
