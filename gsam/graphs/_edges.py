"""Checks, self-loops and normalisation of a list of edges; all of it once per graph."""

from __future__ import annotations

import torch
from torch import Tensor


def check_edges(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> None:
    """Raises the error that :meth:`gsam.graphs.Adjacency.from_edges` documents."""
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(f"expected edge_index of shape [2, E], found {list(edge_index.shape)}")
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise TypeError(f"edge_index must hold integers, found {edge_index.dtype}; convert it with .long()")
    _check_range(edge_index, num_nodes)
    if edge_weight is not None:
        _check_weight(edge_weight, edge_index.shape[1])


def _check_range(edge_index: Tensor, num_nodes: int) -> None:
    bad = ((edge_index < 0) | (edge_index >= num_nodes)).any(dim=0)
    if bad.any():
        first = int(bad.nonzero()[0])
        source, target = edge_index[:, first].tolist()
        raise ValueError(
            f"edges must join nodes in [0, {num_nodes}), found {source} -> {target} at position {first} "
            f"({int(bad.sum())} such edges); correct them or num_nodes"
        )


def _check_weight(edge_weight: Tensor, num_edges: int) -> None:
    if edge_weight.shape != (num_edges,) or not edge_weight.is_floating_point():
        found = f"{edge_weight.dtype} of shape {list(edge_weight.shape)}"
        raise ValueError(f"expected one floating-point weight per edge, [{num_edges}]; found {found}")
    if not edge_weight.isfinite().all():
        raise ValueError(f"edge weights must be finite, found {int((~edge_weight.isfinite()).sum())} that are not")


def with_self_loops(edges: Tensor, weight: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """One self-loop per node, after the other edges: of weight 1, or of the last self-loop that the node has."""
    is_loop = edges[0] == edges[1]
    loop_weight = weight.new_ones(num_nodes)
    loop_weight[edges[0, is_loop]] = weight[is_loop]
    nodes = torch.arange(num_nodes, device=edges.device).expand(2, -1)
    return torch.cat([edges[:, ~is_loop], nodes], dim=1), torch.cat([weight[~is_loop], loop_weight])


def normalized(edges: Tensor, weight: Tensor, num_nodes: int, normalization: str | None) -> Tensor:
    """The weights ``[E]`` rescaled by the weighted in-degrees; formulas at :meth:`Adjacency.from_edges`."""
    if normalization is None:
        return weight
    degree = weight.new_zeros(num_nodes).index_add_(0, edges[1], weight)
    if (degree < 0).any():
        node = int((degree < 0).nonzero()[0])
        raise ValueError(f"degrees must not be negative to normalise, found {degree[node]:g} at node {node}")
    if normalization == "gcn":
        scale = degree.rsqrt().masked_fill(degree == 0, 0.0)
        return scale[edges[0]] * weight * scale[edges[1]]
    if normalization == "rw":
        return weight * degree.reciprocal().masked_fill(degree == 0, 0.0)[edges[1]]
    raise ValueError(f"unknown normalization {normalization!r}; choose 'gcn', 'rw' or None")
