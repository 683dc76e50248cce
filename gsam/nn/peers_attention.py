"""Peers of the attention layers.

A softmax over one edge is 1 whatever the scores, so the attention parameters drop out (their gradient is exactly 0, as
in the layer); only the dropout on attention weights acts, once per row and head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg

from gsam.nn.isolated import lone, lone_attention, with_zero_gradient
from gsam.nn.peer_registry import register_peer
from gsam.nn.self_loops import refuse_edge_data


def _refuse_weights(conv: Any, return_attention_weights: object) -> None:
    if return_attention_weights is not None and return_attention_weights is not False:
        layer = type(conv).__name__
        raise ValueError(
            f"{layer} got return_attention_weights={return_attention_weights!r}, expected none: a peer has no edges to "
            f"weigh. To get those of the self-loops: register_peer({layer}, self_loop_peer)"
        )


def _merge_heads(conv: Any, out: Tensor) -> Tensor:
    """[B, H, C] to [B, H * C] (concat) or to the mean over heads [B, C]."""
    return out.flatten(1) if conv.concat else out.mean(dim=1)


def _split_heads(conv: Any, out: Tensor) -> Tensor:
    return out.view(-1, conv.heads, conv.out_channels)


@register_peer(pyg.GATConv)
def gat(
    conv: Any,
    x: Tensor,
    edge_index: object = None,
    edge_attr: object = None,
    size: object = None,
    return_attention_weights: object = None,
) -> Tensor:
    """``merge_h(d_h x W_h) + x R + b`` with attention dropout ``d`` (Velickovic et al., 2018)."""
    refuse_edge_data(conv, edge_attr)
    _refuse_weights(conv, return_attention_weights)
    source = conv.lin_src if conv.lin is None else conv.lin
    unseen = [conv.att_src, conv.att_dst] + ([] if conv.lin_dst is None else [conv.lin_dst.weight])
    return with_zero_gradient(_attended(conv, x, source), *unseen)


@register_peer(pyg.GATv2Conv)
def gatv2(
    conv: Any, x: Tensor, edge_index: object = None, edge_attr: object = None, return_attention_weights: object = None
) -> Tensor:
    """``merge_h(d_h (x W_h + c)) + x R + b``: the values are those of the source map (Brody et al., 2022)."""
    refuse_edge_data(conv, edge_attr)
    _refuse_weights(conv, return_attention_weights)
    unseen = [conv.att] + ([] if conv.share_weights else [conv.lin_r.weight, conv.lin_r.bias])
    return with_zero_gradient(_attended(conv, x, conv.lin_l), *unseen)


def _attended(conv: Any, x: Tensor, source: Any) -> Tensor:
    residual = None if conv.res is None else conv.res(x)
    out = _merge_heads(conv, lone(conv, lone_attention(conv, _split_heads(conv, source(x)))))
    out = out if residual is None else out + residual
    return out if conv.bias is None else out + conv.bias


@register_peer(pyg.TransformerConv)
def transformer(
    conv: Any, x: Tensor, edge_index: object = None, edge_attr: object = None, return_attention_weights: object = None
) -> Tensor:
    """``merge_h(d_h V_h x) + x S``, or a gated mixture of the two with ``beta`` (Shi et al., 2021)."""
    refuse_edge_data(conv, edge_attr)
    refuse_edge_data(conv, conv.lin_edge, "edge_dim (it needs the features of every edge)")
    _refuse_weights(conv, return_attention_weights)
    out = _merge_heads(conv, lone(conv, lone_attention(conv, _split_heads(conv, conv.lin_value(x)))))
    out = with_zero_gradient(out, *conv.lin_query.parameters(), *conv.lin_key.parameters())
    return _skip(conv, x, out) if conv.root_weight else out


def _skip(conv: Any, x: Tensor, out: Tensor) -> Tensor:
    root = conv.lin_skip(x)
    if conv.lin_beta is None:
        return out + root
    gate = conv.lin_beta(torch.cat([out, root, out - root], dim=-1)).sigmoid()
    return gate * root + (1 - gate) * out


@register_peer(pyg.FAConv)
def fa(
    conv: Any,
    x: Tensor,
    x_0: Tensor,
    edge_index: object = None,
    edge_weight: object = None,
    return_attention_weights: object = None,
) -> Tensor:
    """``d tanh(l(x) + r(x)) x + eps x_0``: signed attention without a softmax, so it stays (Bo et al., 2021)."""
    _refuse_weights(conv, return_attention_weights)
    alpha = (conv.att_l(x) + conv.att_r(x)).tanh().squeeze(-1)
    alpha = F.dropout(alpha, conv.dropout, conv.training)
    out = lone(conv, x * alpha.unsqueeze(-1))
    return out if conv.eps == 0 else out + conv.eps * x_0


@register_peer(pyg.AGNNConv)
def agnn(conv: Any, x: Tensor, edge_index: object = None) -> Tensor:
    """``x``, as a new tensor (Thekumparampil et al., 2018)."""
    return with_zero_gradient(lone(conv, x.clone()), conv.beta if conv.beta.requires_grad else None)
