"""What a model reads of a data set, prepared once: features, graph, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsam.graphs import Adjacency, SparseRows
from gsam.nn import PeerMLP
from gsam.nodes.models import GraphKind, apply_model, node_model

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset

SPARSE_BELOW = 0.25  # share of nonzero features under which the sparse product is the faster one


@dataclass(frozen=True)
class NodeGraph:
    """The inputs of one model on one graph.

    Attributes:
        features: ``[N, F]``, dense or sparse.
        graph: what the model takes for its graph: an adjacency, an edge index ``[2, E]`` or ``None``.
        labels: ``[N]`` int64, -1 for a node without a label.
        degrees: ``[N]`` int64, number of in-edges of each node.
    """

    features: Tensor | SparseRows
    graph: Adjacency | Tensor | None
    labels: Tensor
    degrees: Tensor

    @classmethod
    def prepare(
        cls, dataset: NodeDataset, model: str, *, row_normalize: bool = False, device: str | torch.device = "cpu"
    ) -> NodeGraph:
        """Prepare a data set for a model.

        Edges are used as they are: a directed graph stays directed. Their weights matter to ``gcn`` alone, as in PyG.

        Args:
            dataset: the data.
            model: one of :data:`~gsam.nodes.models.NODE_MODELS`.
            row_normalize: divide the features of each node by the sum of their absolute values.
            device: where to compute.
        """
        spec = node_model(model)
        rows = dataset.features.in_memory()
        rows = rows.l1_normalized_rows() if row_normalize else rows
        sparse = spec.sparse and rows.nnz < SPARSE_BELOW * rows.shape[0] * rows.shape[1]
        graph = _graph(dataset, spec.graph)
        return cls(
            features=rows.to(device) if sparse else rows.to_dense().to(device),
            graph=None if graph is None else graph.to(device),
            labels=dataset.labels.to(device),
            degrees=torch.bincount(dataset.edge_index[1], minlength=dataset.num_nodes).to(device),
        )

    @property
    def num_features(self) -> int:
        """F."""
        return int(self.features.shape[1])

    def logits(self, model: nn.Module) -> Tensor:
        """Logits of all nodes: ``[N, C]``."""
        return apply_model(model, self.features, self.graph)

    def peer(self, model: nn.Module, nodes: Tensor) -> PeerOnNodes:
        """The peer MLP of a model, on the features of ``nodes`` ``[B]`` and nothing else."""
        features = self.features
        return PeerOnNodes(model, features.rows(nodes) if isinstance(features, SparseRows) else features[nodes], nodes)


class PeerOnNodes:
    """A :class:`~gsam.nn.PeerMLP` on fixed rows, which may be sparse.

    Args:
        model: the model.
        rows: ``[B, F]``, features of the nodes.
        nodes: ``[B]`` the nodes.
    """

    def __init__(self, model: nn.Module, rows: Tensor | SparseRows, nodes: Tensor) -> None:
        self._nodes = nodes
        self._peer = PeerMLP(model, call=lambda view, _nodes, loops: apply_model(view, rows, loops))

    def logits(self) -> Tensor:
        """Logits of the nodes without the graph: ``[B, C]``."""
        out: Tensor = self._peer(self._nodes)
        return out


def _graph(dataset: NodeDataset, kind: GraphKind) -> Any:
    edges, count = dataset.edge_index, dataset.num_nodes
    dtype = dataset.features.dtype
    if kind == "none":
        return None
    if kind == "edges":
        return edges
    if kind == "gcn":
        return Adjacency.from_edges(edges, count, dataset.edge_weight, normalization="gcn", dtype=dtype)
    if kind == "mean":
        return Adjacency.from_edges(edges, count, normalization="rw", self_loops=False, dtype=dtype)
    return Adjacency.from_edges(edges, count, normalization=None, dtype=dtype)
