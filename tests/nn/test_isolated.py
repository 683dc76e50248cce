from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.nn import aggr as pyg

from gsam.nn.isolated import aggregate_lone, lone_attention, with_zero_gradient

IDENTITY = ["sum", "mean", "max", "min", "mul", "median", "softmax"]


@pytest.mark.parametrize("name", IDENTITY)
def test_one_element_aggregates_to_itself(name):
    x = torch.randn(5, 3, dtype=torch.float64)
    assert torch.allclose(aggregate_lone(pyg.MultiAggregation([name]), x), x, atol=1e-12)


@pytest.mark.parametrize("aggr", [pyg.VarAggregation(), pyg.StdAggregation()], ids=str)
def test_one_element_has_no_spread_and_no_gradient(aggr):
    x = torch.randn(5, 3, requires_grad=True)
    out = aggregate_lone(aggr, x)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(out, torch.zeros(5, 3))
    assert torch.equal(grad, torch.zeros(5, 3))


@pytest.mark.parametrize("dim", [0, -2])
def test_learned_aggregation_runs_row_by_row(dim):
    torch.manual_seed(0)
    lstm = pyg.LSTMAggregation(3, 3)
    x = torch.randn(5, 3)
    expected = torch.cat([lstm(row[None], torch.zeros(1, dtype=torch.long)) for row in x])
    assert torch.allclose(aggregate_lone(lstm, x, dim), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_combined_aggregations(mode):
    x = torch.randn(5, 3)
    several = pyg.MultiAggregation(["mean", "std", "max"], mode=mode)
    parts = torch.stack([x, torch.zeros_like(x), x])
    expected = parts.amax(0) if mode == "max" else getattr(parts, mode)(0)
    assert torch.allclose(aggregate_lone(several, x), expected)


def test_degree_scalers_at_degree_one():
    degrees = torch.tensor([0, 2, 2])  # two nodes of degree 1, two of degree 2
    scalers = ["identity", "amplification", "attenuation", "linear", "inverse_linear"]
    aggr = pyg.DegreeScalerAggregation("sum", scalers, degrees)
    aggr.scaler = scalers
    log_mean = (math.log(2) + math.log(3)) / 2
    expected = [1, math.log(2) / log_mean, log_mean / math.log(2), 1 / 1.5, 1.5]
    found = aggregate_lone(aggr, torch.ones(1, 1))
    assert torch.allclose(found, torch.tensor([expected]))


class _Attention:
    def __init__(self, dropout, training):
        self.dropout, self.training = dropout, training


def test_attention_to_oneself_is_one_and_dropout_acts_per_row_and_head():
    value = torch.ones(200, 4, 3)
    assert lone_attention(_Attention(0.5, False), value) is value
    assert lone_attention(_Attention(0.0, True), value) is value
    torch.manual_seed(0)
    dropped = lone_attention(_Attention(0.75, True), value)
    assert torch.equal(dropped, dropped[:, :, :1].expand(-1, -1, 3))  # all channels of a head together
    assert set(dropped.unique().tolist()) == {0.0, 4.0}
    assert abs((dropped > 0).float().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 800)


def test_zero_gradient_instead_of_none_even_for_infinite_parameters():
    x = torch.randn(3, 2, requires_grad=True)
    unseen = torch.full((4, 5), math.inf, requires_grad=True)
    scalar = torch.tensor(2.0, requires_grad=True)
    out = with_zero_gradient(2 * x, unseen, None, scalar)
    assert torch.equal(out, 2 * x)
    grads = torch.autograd.grad(out.sum(), [x, unseen, scalar])
    assert [g.tolist() for g in grads[1:]] == [torch.zeros(4, 5).tolist(), 0.0]
    assert torch.equal(grads[0], torch.full((3, 2), 2.0))


def test_nothing_is_added_without_gradients():
    x = torch.randn(3, 2)
    with torch.no_grad():
        assert with_zero_gradient(x, torch.ones(2, requires_grad=True)) is x
    assert with_zero_gradient(x, None) is x
