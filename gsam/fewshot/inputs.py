"""What a method sees: a graph prepared once, and for each episode just the part of it that matters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from gsam.fewshot.episodes import Episode
from gsam.graphs import Adjacency, Block, MappedRows, SparseRows, Subgraph

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset


@dataclass(frozen=True)
class PreparedGraph:
    """A graph with everything that is computed once: normalised adjacency and propagated features.

    Attributes:
        features: ``[N, F]`` node features.
        propagated: ``[N, F]`` features after one propagation, the input of a first graph-convolution layer; None where
            they are computed for the nodes of each episode instead, because the features stay in their file or
            ``max_neighbors`` is given.
        adjacency: the normalised adjacency with self-loops.
        degree: ``[N]`` in-degree without the added self-loops.
        dataset: where it comes from.
        max_neighbors: in-edges of a node that each propagation takes (:meth:`gsam.graphs.Adjacency.blocks`), None for
            all. What is drawn depends on the nodes of the episode alone, so whoever asks for the same episode again, a
            resumed run, another method or another optimizer, computes on the same edges.
    """

    features: SparseRows | MappedRows
    propagated: SparseRows | None
    adjacency: Adjacency
    degree: Tensor
    dataset: NodeDataset
    max_neighbors: int | None = None

    @classmethod
    def prepare(
        cls,
        dataset: NodeDataset,
        *,
        normalization: Literal["rw", "gcn"] = "rw",
        device: str | torch.device = "cpu",
        max_neighbors: int | None = None,
    ) -> PreparedGraph:
        """Normalise and propagate.

        Args:
            dataset: the graph.
            normalization: ``"rw"`` for :math:`D^{-1}(A + I)`, ``"gcn"`` for :math:`D^{-1/2}(A + I)D^{-1/2}`.
            device: where episodes are computed.
            max_neighbors: bounds the nodes that S nodes of an episode touch to ``S (1 + m + m^2)``; propagated features
                and what a layer makes of them are then estimates.

        Raises:
            ValueError: ``max_neighbors < 1``.
        """
        if max_neighbors is not None and max_neighbors < 1:
            raise ValueError(f"expected max_neighbors >= 1, or None for all, found {max_neighbors}")
        adjacency = Adjacency.from_edges(
            dataset.edge_index,
            dataset.num_nodes,
            dataset.edge_weight,
            normalization=normalization,
            dtype=dataset.features.dtype,
        )
        features = dataset.features
        whole = max_neighbors is None and isinstance(features, SparseRows)
        return cls(
            features=features.to(device),
            propagated=adjacency.propagate(features.in_memory()).to(device) if whole else None,
            adjacency=adjacency.to(device),
            degree=adjacency.degree.to(device),
            dataset=dataset,
            max_neighbors=max_neighbors,
        )

    @cached_property
    def log_degree(self) -> Tensor:
        """Logarithm of the degree, clamped at degree 1: ``[N]``, in the dtype of the features."""
        return self.degree.clamp(min=1).to(self.features.dtype).log()

    @cached_property
    def raw_adjacency(self) -> Adjacency:
        """The edges as the data set has them, for models that normalise by themselves."""
        data = self.dataset
        raw = Adjacency.from_edges(data.edge_index, data.num_nodes, data.edge_weight, normalization=None)
        return raw.to(self.degree.device)

    @cached_property
    def row_sums(self) -> Tensor:
        """Row sums of the adjacency, what it makes of a constant feature: ``[N]``; all 1 under ``"rw"``."""
        ones = self.adjacency.edge_weight.new_ones(self.adjacency.num_nodes, 1)
        return self.adjacency.matmul(ones).squeeze(1)

    def inputs(self, episode: Episode) -> EpisodeInputs:
        """The inputs of one episode; each part is computed when first asked for, and kept."""
        return EpisodeInputs(self, episode)


@dataclass(eq=False)
class NodeInputs:
    """A few nodes on a prepared graph; each part is computed when first asked for, and kept.

    Attributes:
        graph: the graph.
        nodes: ``[S]`` the nodes, on the graph's device.
    """

    graph: PreparedGraph
    nodes: Tensor

    @cached_property
    def block(self) -> Block:
        """The one-hop block whose targets are :attr:`nodes`."""
        return self._block(self.nodes, 0)

    @cached_property
    def propagated(self) -> SparseRows:
        """Propagated features of the block's sources: ``[n_src, F]``."""
        graph, nodes = self.graph, self.block.nodes
        if graph.propagated is not None:
            return graph.propagated.rows(nodes)
        outer = self._block(nodes, 1)
        return outer.propagate(graph.features.rows(outer.nodes))

    @cached_property
    def features(self) -> SparseRows:
        """Features of the nodes alone, the input of a peer MLP: ``[S, F]``."""
        return self.graph.features.rows(self.nodes)

    @cached_property
    def row_sums(self) -> Tensor:
        """What one propagation makes of a constant feature, for the block's sources: ``[n_src]``."""
        return self.graph.row_sums[self.block.nodes]

    def _block(self, targets: Tensor, depth: int) -> Block:
        graph = self.graph
        if graph.max_neighbors is None:
            return graph.adjacency.blocks(targets, 1)[0]
        seed = (depth, *self.nodes.tolist())
        return graph.adjacency.blocks(targets, 1, max_neighbors=graph.max_neighbors, seed=seed)[0]

    def subgraph(self, hops: int) -> Subgraph:
        """The whole neighbourhood on which an unmodified PyG model gives the full-graph result for :attr:`nodes`."""
        return self.graph.raw_adjacency.subgraph(self.nodes, hops)


class EpisodeInputs(NodeInputs):
    """One episode on a prepared graph: all its nodes, supports first, and either part by itself.

    Args:
        graph: the graph.
        episode: the task.
    """

    def __init__(self, graph: PreparedGraph, episode: Episode) -> None:
        super().__init__(graph, episode.nodes.to(graph.degree.device))
        self.episode = episode

    @cached_property
    def support(self) -> NodeInputs:
        """The supports alone, class by class, with a block of their own."""
        return NodeInputs(self.graph, self.episode.support.reshape(-1).to(self.nodes.device))

    @cached_property
    def query(self) -> NodeInputs:
        """The queries alone, class by class, with a block of their own."""
        return NodeInputs(self.graph, self.episode.query.reshape(-1).to(self.nodes.device))

    @cached_property
    def targets(self) -> Tensor:
        """Position of each query's class, on the graph's device: ``[Q]``."""
        return self.episode.targets.to(self.nodes.device)

    @cached_property
    def support_targets(self) -> Tensor:
        """Position of each support's class, on the graph's device: ``[n_way * k_shot]``."""
        return self.episode.support_targets.to(self.nodes.device)

    @cached_property
    def support_log_degree(self) -> Tensor:
        """Logarithm of the degree of the supports, clamped at degree 1: ``[n_way, k_shot]``."""
        return self.graph.log_degree[self.episode.support.to(self.nodes.device)]
