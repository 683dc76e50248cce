"""Peers of the convolutions that aggregate messages without normalising by degree.

The only message is the node's own; what the aggregation makes of one message is in :mod:`gsam.nn.isolated`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import nn as pyg

from gsam.nn.isolated import lone
from gsam.nn.peer_registry import register_peer
from gsam.nn.self_loops import refuse_edge_data


@register_peer(pyg.SAGEConv)
def sage(conv: Any, x: Tensor, edge_index: object = None, size: object = None) -> Tensor:
    """``aggr(x) W_l + b + x W_r``, normalised to length 1 if so configured (Hamilton et al., 2017)."""
    message = conv.lin(x).relu() if conv.project else x
    out = conv.lin_l(lone(conv, message))
    out = out + conv.lin_r(x) if conv.root_weight else out
    return F.normalize(out, p=2.0, dim=-1) if conv.normalize else out


@register_peer(pyg.GraphConv)
def graph(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None, size: object = None) -> Tensor:
    """``aggr(x) W_rel + b + x W_root`` (Morris et al., 2019)."""
    return conv.lin_rel(lone(conv, x)) + conv.lin_root(x)


@register_peer(pyg.GINConv)
def gin(conv: Any, x: Tensor, edge_index: object = None, size: object = None) -> Tensor:
    """``nn(aggr(x) + (1 + eps) x)`` (Xu et al., 2019)."""
    return conv.nn(lone(conv, x) + (1 + conv.eps) * x)


@register_peer(pyg.LEConv)
def le(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``(x W_1 - x W_2) + x W_3`` (Ranjan et al., 2020)."""
    return lone(conv, conv.lin1(x) - conv.lin2(x)) + conv.lin3(x)


@register_peer(pyg.ResGatedGraphConv)
def res_gated(conv: Any, x: Tensor, edge_index: object = None, edge_attr: object = None) -> Tensor:
    """``act(x K + x Q) * x V + x S + b`` (Bresson & Laurent, 2017)."""
    refuse_edge_data(conv, edge_attr)
    refuse_edge_data(conv, conv.edge_dim, "edge_dim (it needs the features of every edge)")
    out = lone(conv, conv.act(conv.lin_key(x) + conv.lin_query(x)) * conv.lin_value(x))
    out = out + conv.lin_skip(x) if conv.root_weight else out
    return out if conv.bias is None else out + conv.bias


@register_peer(pyg.PNAConv)
def pna(conv: Any, x: Tensor, edge_index: object = None, edge_attr: object = None) -> Tensor:
    """Each tower: ``post([x, scale(aggr(pre([x, x])))])``, then a linear map of all towers (Corso et al., 2020)."""
    refuse_edge_data(conv, edge_attr)
    refuse_edge_data(conv, conv.edge_dim, "edge_dim (it needs the features of every edge)")
    x = x.view(-1, conv.towers if conv.divide_input else 1, conv.F_in)
    x = x.expand(-1, conv.towers, -1)  # [B, T, F_in]
    pair = torch.cat([x, x], dim=-1)
    message = torch.stack([pre(pair[:, t]) for t, pre in enumerate(conv.pre_nns)], dim=1)
    both = torch.cat([x, lone(conv, message)], dim=-1)
    return conv.lin(torch.cat([post(both[:, t]) for t, post in enumerate(conv.post_nns)], dim=1))


@register_peer(pyg.EdgeConv)
def edge(conv: Any, x: Tensor, edge_index: object = None) -> Tensor:
    """``aggr(nn([x, x - x]))`` (Wang et al., 2019)."""
    return lone(conv, conv.nn(torch.cat([x, x - x], dim=-1)))


@register_peer(pyg.GatedGraphConv)
def gated_graph(conv: Any, x: Tensor, edge_index: object = None, edge_weight: object = None) -> Tensor:
    """``x <- GRU(x W_i, x)`` for each layer i, x padded with zeros to the layer's width (Li et al., 2016)."""
    if x.size(-1) > conv.out_channels:
        raise ValueError(f"GatedGraphConv expected at most {conv.out_channels} features, found {x.size(-1)}")
    x = F.pad(x, (0, conv.out_channels - x.size(-1)))
    for weight in conv.weight:
        x = conv.rnn(lone(conv, x @ weight), x)
    return x
