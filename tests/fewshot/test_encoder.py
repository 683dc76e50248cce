from __future__ import annotations

import math

import torch
from torch_geometric.nn import GCNConv

from gsam.fewshot import EpisodeGCN, PreparedGraph
from tests.fewshot.toy import FEATURES, toy_dataset, toy_episode


def test_branches_are_pyg_networks() -> None:
    """Each branch with its slice of the weights is a stack of two of PyG's GCNConv on the whole graph."""
    data = toy_dataset(dtype=torch.float64, weighted=True)
    encoder = EpisodeGCN(FEATURES, 5, 3, branches=3, dropout=0.0).double()
    for bias in (encoder.bias1, encoder.bias2):
        torch.nn.init.normal_(bias)
    inputs = PreparedGraph.prepare(data, normalization="gcn").inputs(toy_episode())
    found = encoder(inputs)
    assert found.shape == (3, inputs.nodes.numel(), 3)
    for branch in range(3):
        first, second = GCNConv(FEATURES, 5).double(), GCNConv(5, 3).double()
        columns = slice(5 * branch, 5 * branch + 5)
        with torch.no_grad():
            first.lin.weight.copy_(encoder.weight1[:, columns].T)
            first.bias.copy_(encoder.bias1[columns])
            second.lin.weight.copy_(encoder.weight2[branch].T)
            second.bias.copy_(encoder.bias2[branch, 0])
        hidden = first(data.features.to_dense(), data.edge_index, data.edge_weight).relu()
        expected = second(hidden, data.edge_index, data.edge_weight)[inputs.nodes]
        torch.testing.assert_close(found[branch], expected, rtol=1e-10, atol=1e-12)


def test_first_weights() -> None:
    """Glorot-uniform in each branch by itself: the bound is that of one branch, not of the concatenation."""
    encoder = EpisodeGCN(200, 16, 8, branches=4)
    for part in encoder.weight1.chunk(4, dim=1):
        bound = math.sqrt(6 / (200 + 16))
        assert 0.95 * bound < part.abs().max() <= bound
    for part in encoder.weight2:
        bound = math.sqrt(6 / (16 + 8))
        assert 0.9 * bound < part.abs().max() <= bound
    assert not encoder.bias1.any()
    assert not encoder.bias2.any()
    assert not torch.equal(encoder.weight2[0], encoder.weight2[1])


def test_dropout_keeps_the_mean() -> None:
    """Dropped hidden units are scaled up: the mean over many draws is the result without dropout."""
    inputs = PreparedGraph.prepare(toy_dataset(dtype=torch.float64)).inputs(toy_episode())
    torch.manual_seed(0)
    encoder = EpisodeGCN(FEATURES, 6, 4, dropout=0.3).double()
    with torch.no_grad():
        draws = torch.stack([encoder.train()(inputs) for _ in range(1000)])
        exact = encoder.eval()(inputs)
    error = (draws.mean(0) - exact).abs()
    assert (error <= 5 * draws.std(0) / math.sqrt(1000) + 1e-12).all()
    assert (draws.std(0) > 0).any()
