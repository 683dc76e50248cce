"""Peers of the convolutions that propagate along a normalised adjacency matrix.

On the self-loop graph the matrix, with or without extra self-loops, is the identity: an existing self-loop keeps its
weight 1, the degree is 1, and ``D^-1/2 A D^-1/2 = I``. So propagation drops out and the linear maps remain.
Edge weights and cached matrices belong to the graph and are ignored.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg

from gsam.nn.isolated import lone
from gsam.nn.peer_registry import register_peer


def _plus_bias(conv: Any, out: Tensor) -> Tensor:
    return out if conv.bias is None else out + conv.bias


def _propagated(conv: Any, x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = lone(conv, x)
    return x


@register_peer(pyg.GCNConv)
def gcn(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``x W + b`` (Kipf & Welling, 2017)."""
    return _plus_bias(conv, lone(conv, conv.lin(x)))


@register_peer(pyg.SGConv)
def sg(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``x W + b`` for any number of hops (Wu et al., 2019)."""
    return conv.lin(_propagated(conv, x, conv.K))


@register_peer(pyg.SSGConv)
def ssg(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``(alpha x + (1 - alpha)/K sum_k x) W + b`` (Zhu & Koniusz, 2021)."""
    hidden = conv.alpha * x
    for _ in range(conv.K):
        x = lone(conv, x)
        hidden = hidden + (1 - conv.alpha) / conv.K * x
    return conv.lin(hidden)


@register_peer(pyg.LGConv)
def lg(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``x``, as a new tensor (He et al., 2020)."""
    return lone(conv, x.clone())


@register_peer(pyg.APPNP)
def appnp(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``z <- (1 - alpha) d z + alpha x``, K times, from ``z = x`` (Gasteiger et al., 2019).

    ``d`` is the dropout on each row's own edge: one number per row and step. Without dropout ``z`` stays ``x``.
    """
    dropping = conv.training and conv.dropout > 0
    if not dropping and type(conv.aggr_module) is pyg.SumAggregation:
        return x.clone()
    hidden = x
    edge = x.new_ones(x.size(0))
    for _ in range(conv.K):
        if dropping:
            edge = F.dropout(edge, conv.dropout)  # dropped edges stay dropped: the layer drops from what is left
        hidden = (1 - conv.alpha) * lone(conv, edge.unsqueeze(-1) * hidden) + conv.alpha * x
    return hidden


@register_peer(pyg.TAGConv)
def tag(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``sum_k x W_k + b`` (Du et al., 2017)."""
    out = conv.lins[0](x)
    for lin in conv.lins[1:]:
        x = lone(conv, x)
        out = out + lin(x)
    return _plus_bias(conv, out)


@register_peer(pyg.MixHopConv)
def mixhop(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``[x W_p for p in powers] + b`` (Abu-El-Haija et al., 2019)."""
    hops = [_propagated(conv, x, power) for power in conv.powers]
    out = torch.cat([conv.lins[power](hop) for power, hop in zip(conv.powers, hops, strict=True)], dim=-1)
    return _plus_bias(conv, out)


@register_peer(pyg.ClusterGCNConv)
def cluster_gcn(conv: Any, x: Tensor, edge_index: object = None) -> Tensor:
    """``(1 + lambda) x W_out + b + x W_root``: the diagonal enhancement acts on the self-loop (Chiang et al., 2019)."""
    diagonal = (1 + torch.tensor(conv.diag_lambda)).item()  # in the default dtype, whatever x is, as in the layer
    return conv.lin_out(lone(conv, diagonal * x)) + conv.lin_root(x)


@register_peer(pyg.GCN2Conv)
def gcn2(conv: Any, x: Tensor, x_0: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``h = (1 - alpha) x + alpha x_0``, then ``(1 - beta) h + beta h W`` (Chen et al., 2020).

    If the weights are not shared, the two terms of ``h`` have one each.
    """
    hidden = (1 - conv.alpha) * lone(conv, x)
    initial = conv.alpha * x_0[: x.size(0)]
    if conv.weight2 is None:
        return _near_identity(conv, hidden + initial, conv.weight1)
    return _near_identity(conv, hidden, conv.weight1) + _near_identity(conv, initial, conv.weight2)


def _near_identity(conv: Any, hidden: Tensor, weight: Tensor) -> Tensor:
    return torch.addmm(hidden, hidden, weight, beta=1 - conv.beta, alpha=conv.beta)


@register_peer(pyg.ARMAConv)
def arma(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``out <- act(out W + dropout(x) V + b)``, T layers, averaged over K stacks (Bianchi et al., 2021)."""
    x = x.unsqueeze(-3)  # [1, B, F], broadcast over the stacks
    out = x @ conv.init_weight
    for t in range(conv.num_layers):
        shared = 0 if conv.shared_weights else t
        if t > 0:
            out = out @ conv.weight[0 if conv.shared_weights else t - 1]
        root = F.dropout(x, conv.dropout, conv.training) @ conv.root_weight[shared]
        out = lone(conv, out) + root
        out = out if conv.bias is None else out + conv.bias[shared]
        out = out if conv.act is None else conv.act(out)
    return out.mean(dim=-3)


@register_peer(pyg.ChebConv)
def cheb(
    conv: Any,
    x: Tensor,
    edge_index: object = None,
    edge_weight: object = None,
    batch: Tensor | None = None,
    lambda_max: Tensor | float | None = None,
) -> Tensor:
    """``sum_k T_k(c) x W_k + b`` with Chebyshev polynomials ``T_k`` (Defferrard et al., 2016).

    The Laplacian leaves self-loops out, so the rescaled Laplacian ``2 L / lambda_max - 1`` is the number ``c``: 0 for
    the normalised Laplacians (``L = 1``, ``lambda_max = 2`` unless given), -1 without normalisation (``L = 0``).
    """
    scale = _cheb_scale(conv, batch, lambda_max)
    before, term = x, scale * x
    out = conv.lins[0](x)
    for lin in conv.lins[1:]:
        out = out + lin(term)
        before, term = term, 2 * scale * lone(conv, term) - before
    return _plus_bias(conv, out)


def _cheb_scale(conv: Any, batch: Tensor | None, lambda_max: Tensor | float | None) -> Any:
    if conv.normalization is None:
        if lambda_max is None:
            raise ValueError(
                "ChebConv(normalization=None) divides by the largest eigenvalue, and the Laplacian of an isolated node "
                "is 0: pass the lambda_max of your graph, or use normalization='sym'"
            )
        return -1.0
    if not isinstance(lambda_max, Tensor):
        return 0.0 if lambda_max is None else 2 / lambda_max - 1
    per_row = lambda_max[batch].unsqueeze(-1) if batch is not None and lambda_max.numel() > 1 else lambda_max
    return 2 / per_row - 1
