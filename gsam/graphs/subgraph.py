"""Subgraphs on which an unmodified model gives the full graph's result for a few nodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gsam.graphs.blocks import Block


@dataclass(frozen=True, eq=False)
class Subgraph:
    """The seeds, the nodes that reach them, and the raw edges in between.

    Every in-edge of every node closer than the outermost ones is there, with repeats, self-loops and weights as in the
    graph. ``model(x[sub.nodes], sub.edge_index, sub.edge_weight)[: sub.num_seeds]`` is the seeds' result.

    Attributes:
        nodes: ``[n]`` int64, nodes of the graph; the first ``num_seeds`` are the seeds, in their order.
        edge_index: ``[2, e]`` int64, in local numbers.
        edge_weight: ``[e]``, or None if the graph was given no weights.
        edge_id: ``[e]`` int64, position of each edge in the ``edge_index`` the graph was built from.
        num_seeds: S.
    """

    nodes: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    edge_id: Tensor
    num_seeds: int

    def to(self, device: torch.device | str | None = None) -> Subgraph:
        """The subgraph on another device."""
        weight = None if self.edge_weight is None else self.edge_weight.to(device)
        nodes, edge_index, edge_id = (part.to(device) for part in (self.nodes, self.edge_index, self.edge_id))
        return Subgraph(nodes, edge_index, weight, edge_id, self.num_seeds)


def subgraph_of(outermost: Block, num_seeds: int) -> Subgraph:
    """The subgraph of the outermost block: its targets are all nodes but the outermost, its edges their in-edges."""
    assert outermost.edge_id is not None
    weight = outermost.weight if outermost.scheme.weighted else None
    return Subgraph(outermost.nodes, outermost.edge_index, weight, outermost.edge_id, num_seeds)
