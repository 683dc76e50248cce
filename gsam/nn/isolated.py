"""What becomes of aggregation and attention when a node has exactly one message, its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import aggr as pyg

_IDENTITY = {pyg.SumAggregation, pyg.MeanAggregation, pyg.MaxAggregation, pyg.MinAggregation, pyg.MulAggregation}
_SPREAD = {pyg.VarAggregation, pyg.StdAggregation}


def lone(conv: Any, message: Tensor) -> Tensor:
    """Aggregate one message per node, as ``conv`` would: ``message`` and result have the nodes in ``conv.node_dim``."""
    return aggregate_lone(conv.aggr_module, message, conv.node_dim)


def aggregate_lone(aggr: Any, message: Tensor, dim: int = -2) -> Tensor:
    """Apply a PyG aggregation to sets of one element each.

    Sum, mean, max, min and product leave the element as it is, variance and standard deviation give 0. Aggregations
    without a shortcut (median, softmax, LSTM, ...) are run as they are, every row being a set of its own.

    Args:
        aggr: a ``torch_geometric.nn.aggr.Aggregation``.
        message: one element per node, the B nodes in dimension ``dim``.
        dim: the dimension of the nodes.
    """
    kind = type(aggr)
    if kind in _IDENTITY:
        return message
    if kind in _SPREAD:
        return message - message  # a zero that is still connected to its input
    if kind is pyg.MultiAggregation:
        return aggr.combine([aggregate_lone(a, message, dim) for a in aggr.aggrs])
    if kind is pyg.DegreeScalerAggregation:
        return _scaled(aggr, aggregate_lone(aggr.aggr, message, dim))
    rows = message.size(dim)
    return aggr(message, torch.arange(rows, device=message.device), dim_size=rows, dim=dim)


# The scalers of Principal Neighbourhood Aggregation (Corso et al., 2020) at degree 1.
_SCALE: dict[str, Callable[[Any], Tensor | float]] = {
    "identity": lambda a: 1.0,
    "amplification": lambda a: math.log(2) / a.avg_deg_log,
    "attenuation": lambda a: a.avg_deg_log / math.log(2),
    "linear": lambda a: 1.0 / a.avg_deg_lin,
    "inverse_linear": lambda a: a.avg_deg_lin,
}


def _scaled(aggr: Any, out: Tensor) -> Tensor:
    names: list[str] = aggr.scaler
    return torch.cat([out * _SCALE[name](aggr) for name in names], dim=-1)


def lone_attention(conv: Any, value: Tensor) -> Tensor:
    """Weigh each node's value by its attention to itself: the softmax over one edge is 1, then dropout.

    Args:
        conv: has the ``dropout`` rate of its attention weights.
        value: [B, H, C] for B nodes, H heads, C channels. The dropout mask is [B, H], drawn as the layer draws it.
    """
    if not (conv.training and conv.dropout):
        return value
    alpha = F.dropout(value.new_ones(value.shape[:2]), conv.dropout)
    return value * alpha.unsqueeze(-1)


def with_zero_gradient(out: Tensor, *unseen: Tensor | None) -> Tensor:
    """``out``, with parameters that cannot influence it joined to its graph: they get the gradient 0 instead of none.

    An attention vector over a single edge has gradient 0 in the real layer too; ``None`` would make
    ``torch.autograd.grad`` fail and optimizers skip the parameter.
    """
    parameters = [p for p in unseen if p is not None]
    if not torch.is_grad_enabled() or not parameters:
        return out
    nothing = torch.cat([p.flatten()[:0] for p in parameters])  # empty, so even an infinite parameter adds exactly 0
    return out + nothing.sum()
