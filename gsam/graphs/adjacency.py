"""A graph by in-edges, normalised once, and what episodes ask of it: products, blocks and subgraphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from gsam.graphs._csr import CSR, as_index, index_dtype
from gsam.graphs._edges import check_edges, normalized, with_self_loops
from gsam.graphs._relabel import Relabel
from gsam.graphs._sample import Draw
from gsam.graphs.blocks import Block, EdgeScheme, build_block
from gsam.graphs.sparse import SparseRows, sparse_product
from gsam.graphs.subgraph import Subgraph, subgraph_of

Features = TypeVar("Features", Tensor, SparseRows)


class Adjacency:
    """The ``[N, N]`` matrix of a graph, row ``i`` holding the in-edges of node ``i``; build it with :meth:`from_edges`.

    It never changes: normalisation happens once, over the whole graph, and everything taken from it (blocks, products)
    carries those weights. Safe to use from several threads.

    Attributes:
        scheme: how the weights came about.
        degree: ``[N]`` int64, number of in-edges of each node, before any self-loop was added.
    """

    def __init__(self, matrix: CSR, degree: Tensor, edge_id: Tensor | None, scheme: EdgeScheme) -> None:
        self.matrix = matrix
        self.degree = degree
        self.scheme = scheme
        self._edge_id = edge_id
        self._relabel = Relabel(matrix.shape[0])

    @classmethod
    def from_edges(
        cls,
        edge_index: Tensor,
        num_nodes: int,
        edge_weight: Tensor | None = None,
        *,
        normalization: Literal["gcn", "rw"] | None = "gcn",
        self_loops: bool | None = None,
        dtype: torch.dtype | None = None,
    ) -> Adjacency:
        r"""The graph of a list of edges, which may be directed and may repeat.

        With ``w`` the weights after self-loops were added and :math:`d_i = \sum_{j \to i} w_{ji}`:

        - ``"gcn"``: :math:`d_i^{-1/2} w_{ji} d_j^{-1/2}` (Kipf and Welling, 2017), PyG's ``gcn_norm``;
        - ``"rw"``: :math:`w_{ji} / d_i`, each row sums to 1;
        - None: :math:`w_{ji}`.

        Rows of nodes with :math:`d_i = 0` are zero.

        Args:
            edge_index: ``[2, E]`` integers in ``[0, N)``, sources and targets.
            num_nodes: N.
            edge_weight: ``[E]`` finite numbers; ones if None.
            normalization: how to rescale.
            self_loops: give each node one self-loop, as PyG's ``add_remaining_self_loops``: of weight 1, or of the
                weight of the self-loop it has (the last one, if it has several). Default: yes, unless
                ``normalization`` is None.
            dtype: of the weights; default that of ``edge_weight``, else torch's default. They are computed in float64.

        Raises:
            ValueError: if an edge names a node outside ``[0, N)``, a weight is not finite, a degree to divide by is
                negative, a shape is wrong or ``normalization`` is unknown.
            TypeError: if ``edge_index`` does not hold integers.
        """
        check_edges(edge_index, num_nodes, edge_weight)
        loops = normalization is not None if self_loops is None else bool(self_loops)
        scheme = EdgeScheme(normalization, loops, edge_weight is not None)
        dtype = dtype or (torch.get_default_dtype() if edge_weight is None else edge_weight.dtype)
        degree = torch.bincount(edge_index[1], minlength=num_nodes)
        weight = edge_index.new_ones(edge_index.shape[1]) if edge_weight is None else edge_weight.detach()
        edges, weight = edge_index.long(), weight.double()
        if loops:
            edges, weight = with_self_loops(edges, weight, num_nodes)
        weight = normalized(edges, weight, num_nodes, normalization)
        matrix, order = _by_target(edges, weight.to(dtype), num_nodes)
        return cls(matrix, degree, order if scheme.is_raw else None, scheme)

    def matmul(self, h: Tensor) -> Tensor:
        """``A @ h``: ``[N, H]`` to ``[N, H]``, differentiable in ``h``.

        Raises:
            ValueError: if ``h`` is not ``[N, H]``.
        """
        if h.dim() != 2 or h.shape[0] != self.num_nodes:
            raise ValueError(f"expected one row per node, [{self.num_nodes}, H]; found shape {list(h.shape)}")
        return self.matrix.matmul(h)

    __matmul__ = matmul

    def propagate(self, features: Features, hops: int = 1) -> Features:
        """``A^hops @ features``: features averaged over neighbourhoods, computed once for a whole graph.

        A first layer ``A X W`` is then ``propagate(X).rows(nodes) @ W``, which needs no graph. Sparse features stay
        sparse, but fill up with each hop; they are multiplied on the CPU.

        Args:
            features: ``[N, F]``, dense or sparse; the result is of the same kind, dtype and device.
            hops: how often, at least 0.

        Raises:
            ValueError: if ``hops`` is negative or ``features`` does not have one row per node.
        """
        if hops < 0:
            raise ValueError(f"hops must be at least 0, found {hops}")
        for _ in range(hops):
            features = self._propagate_sparse(features) if isinstance(features, SparseRows) else self.matmul(features)
        return features

    def _propagate_sparse(self, features: SparseRows) -> SparseRows:
        if features.shape[0] != self.num_nodes:
            raise ValueError(f"expected one row per node, [{self.num_nodes}, F]; found shape {list(features.shape)}")
        return sparse_product(self.matrix, features)

    def blocks(
        self, seeds: Tensor, num_layers: int, *, max_neighbors: int | None = None, seed: int | Sequence[int] = 0
    ) -> list[Block]:
        r"""The blocks that compute ``num_layers`` layers for ``seeds``, the outermost (applied first) first.

        ``blocks[0].nodes`` are the nodes whose features are read; the targets of each block are the nodes of the next,
        and those of the last are the seeds. The cost depends on the edges touched, not on the size of the graph.

        With ``max_neighbors=m``, of the :math:`n` in-edges of a node (the self-loop that it was given aside, which
        stays) only ``m`` are drawn without replacement where :math:`n > m`, each with :math:`n / m` times its weight.
        So ``blocks[0]`` has at most :math:`S (1 + m + \dots + m^L)` nodes, however many neighbours a node has; its cost
        does not depend on them either. A weighted sum over a block, and over several one after the other, is right on
        average: its expectation is the exact one. What a nonlinearity makes of it is not, the less so the smaller m.
        Where no node has more than m, the blocks are the exact ones, bit for bit.

        Args:
            seeds: ``[S]`` nodes, in any order; a repeated seed gives a repeated row.
            num_layers: L, at least 1.
            max_neighbors: in-edges of a node that are taken in each layer, at least 1; None for all.
            seed: what is drawn depends on this, the seeds and the graph alone: an integer >= 0, or several.

        Raises:
            IndexError: if a seed is outside ``[0, N)`` (on CPU; CUDA reports it as a device assertion).
            TypeError: if ``seeds`` does not hold integers.
            ValueError: if ``num_layers < 1`` or ``max_neighbors < 1``.
        """
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, found {num_layers}")
        if max_neighbors is not None and max_neighbors < 1:
            raise ValueError(f"max_neighbors must be at least 1, or None for all, found {max_neighbors}")
        targets = as_index(seeds, self.num_nodes, self.matrix.col.device)
        draw = None if max_neighbors is None else Draw(max_neighbors, np.random.default_rng(seed))
        blocks: list[Block] = []
        for _ in range(num_layers):
            blocks.append(build_block(self.matrix, targets, self._relabel, self.scheme, self._edge_id, draw))
            targets = blocks[-1].nodes
        return blocks[::-1]

    def subgraph(self, seeds: Tensor, hops: int, halo: int = 1) -> Subgraph:
        """The raw edges around ``seeds`` on which an unmodified model computes them exactly.

        ``hops`` is how far the model looks: the number of its layers, or the sum of their K (SGConv, TAGConv, APPNP,
        MixHop). Every node up to ``hops + halo - 1`` steps away has all its in-edges, so with

        - ``halo=0`` layers are exact that only aggregate over in-edges: SAGE, GIN, GraphConv, GAT;
        - ``halo=1`` also those that divide by the in-degree of a source, as everything built on ``gcn_norm`` does;
        - ``halo=2`` also those that divide by the out-degree of a source (ChebConv), if the graph is undirected and
          no seed repeats. On a directed graph no number of in-hops finds all out-edges; use the whole graph.

        What a model takes from all nodes together (batch norm in training mode, graph norms, global attention, the
        padding of LSTM and GRU aggregations) it takes from the subgraph.

        Args:
            seeds: ``[S]`` nodes; a repeated seed gives a repeated row.
            hops: at least 1.
            halo: further steps, at least 0.

        Raises:
            IndexError: if a seed is outside ``[0, N)``.
            ValueError: if the edges of this adjacency are not raw, or an argument is out of range.
        """
        if not self.scheme.is_raw:
            raise ValueError(
                f"a subgraph has raw edges, but this adjacency has normalization={self.scheme.normalization!r}, "
                f"self_loops={self.scheme.self_loops}; build one with Adjacency.from_edges(..., normalization=None)"
            )
        if hops < 1 or halo < 0:
            raise ValueError(f"expected hops >= 1 and halo >= 0, found hops={hops}, halo={halo}")
        return subgraph_of(self.blocks(seeds, hops + halo)[0], len(seeds))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Adjacency:
        """The graph on another device, or with weights of another dtype."""
        edge_id = None if self._edge_id is None else self._edge_id.to(device)
        return Adjacency(self.matrix.to(device, dtype), self.degree.to(device), edge_id, self.scheme)

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.matrix.shape[0]

    @property
    def num_edges(self) -> int:
        """Number of edges, added self-loops included."""
        return self.matrix.col.numel()

    @property
    def edge_index(self) -> Tensor:
        """``[2, num_edges]`` int64, the edges grouped by target."""
        return torch.stack([self.matrix.col, self.matrix.row_of_entry()]).long()

    @property
    def edge_weight(self) -> Tensor:
        """``[num_edges]``, the weights of ``edge_index``."""
        return self.matrix.value

    def __repr__(self) -> str:
        scheme = f"normalization={self.scheme.normalization!r}, self_loops={self.scheme.self_loops}"
        return f"Adjacency(num_nodes={self.num_nodes}, num_edges={self.num_edges}, {scheme})"


def _by_target(edges: Tensor, weight: Tensor, num_nodes: int) -> tuple[CSR, Tensor]:
    """The matrix of in-edges, each row in the order of ``edges``, and the position in ``edges`` of each entry."""
    dtype = index_dtype(weight.numel(), num_nodes)
    order = torch.sort(edges[1], stable=True).indices
    counts = torch.bincount(edges[1], minlength=num_nodes)
    rowptr = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(dtype)
    return CSR(rowptr, edges[0][order].to(dtype), weight[order], (num_nodes, num_nodes)), order
