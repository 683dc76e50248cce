"""Computation blocks: the part of one graph layer that a few target nodes need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gsam.graphs._csr import CSR, take
from gsam.graphs._relabel import Relabel
from gsam.graphs._sample import Draw, sample_places
from gsam.graphs.sparse import SparseRows, sparse_product


@dataclass(frozen=True)
class EdgeScheme:
    """How the edges of an adjacency came about.

    Attributes:
        normalization: ``"gcn"``, ``"rw"`` or None.
        self_loops: whether each node without a self-loop was given one.
        weighted: whether the user gave edge weights.
        sampled: whether only some of the in-edges are there, with weights that make up for the others.
    """

    normalization: str | None = None
    self_loops: bool = False
    weighted: bool = False
    sampled: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether the edges are the user's own, none added, none left out and none rescaled."""
        return self.normalization is None and not self.self_loops and not self.sampled


@dataclass(frozen=True, eq=False)
class Block:
    """The in-edges of ``T`` target nodes, in local numbers: what one layer needs to compute the targets.

    All of them, so that the layer is exact, unless the block was asked for with ``max_neighbors``.

    Edges are grouped by target and keep the order that they have in the graph. A node that is a target occurs among
    the targets, and as a source it is that same row, so that layers recognise self-loops.

    Attributes:
        nodes: ``[n_src]`` int64, nodes of the graph whose values the layer reads; the first ``T`` are the targets.
        num_targets: T.
        matrix: the ``[T, n_src]`` weights of the edges, by target.
        scheme: how the weights came about.
        edge_id: ``[e]`` int64, position of each edge in the ``edge_index`` the graph was built from, to select edge
            attributes with; None unless the edges are raw.
    """

    nodes: Tensor
    num_targets: int
    matrix: CSR
    scheme: EdgeScheme
    edge_id: Tensor | None

    @cached_property
    def edge_index(self) -> Tensor:
        """``[2, e]`` int64: local sources in ``[0, n_src)``, local targets in ``[0, T)``."""
        return torch.stack([self.matrix.col, self.matrix.row_of_entry()]).long()

    @property
    def weight(self) -> Tensor:
        """Weight of each edge ``[e]``, as normalised on the whole graph."""
        return self.matrix.value

    def aggregate(self, h: Tensor) -> Tensor:
        """Weighted sum over the in-edges: ``[n_src, H]`` to ``[T, H]``, differentiable in ``h``.

        Raises:
            ValueError: if ``h`` does not have one row per node of the block.
        """
        self.check_rows(h.shape)
        return self.matrix.matmul(h)

    def propagate(self, features: SparseRows) -> SparseRows:
        """:meth:`aggregate` of constant sparse features: ``[n_src, F]`` to ``[T, F]``, multiplied on the CPU.

        Raises:
            ValueError: if ``features`` does not have one row per node of the block.
        """
        self.check_rows(features.shape)
        return sparse_product(self.matrix, features)

    def adjoint(self, g: Tensor) -> Tensor:
        """The transpose of :meth:`aggregate`, from targets to sources: ``[T, H]`` to ``[n_src, H]``.

        Raises:
            ValueError: if ``g`` does not have one row per target.
        """
        if g.dim() != 2 or g.shape[0] != self.num_targets:
            raise ValueError(f"expected one row per target, [{self.num_targets}, H]; found shape {list(g.shape)}")
        return self.matrix.adjoint(g)

    def check_rows(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError unless ``shape`` is ``[n_src, F]``."""
        if len(shape) != 2 or shape[0] != self.nodes.numel():
            found = list(shape)
            raise ValueError(
                f"expected one row per source of the block, [{self.nodes.numel()}, F]; found shape {found}"
            )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Block:
        """The block on another device, or with weights of another dtype."""
        edge_id = None if self.edge_id is None else self.edge_id.to(device)
        return Block(self.nodes.to(device), self.num_targets, self.matrix.to(device, dtype), self.scheme, edge_id)

    def __repr__(self) -> str:
        edges = self.matrix.col.numel()
        return f"Block(num_targets={self.num_targets}, num_sources={self.nodes.numel()}, num_edges={edges})"


def build_block(
    graph: CSR,
    targets: Tensor,
    relabel: Relabel,
    scheme: EdgeScheme,
    edge_id: Tensor | None,
    draw: Draw | None = None,
) -> Block:
    """The block of ``targets`` ``[T]``, int64 and in range, in time proportional to its edges.

    ``graph`` is the ``[N, N]`` matrix of in-edges, ``edge_id`` ``[nnz]`` the origin of its entries where that is known;
    with ``draw`` only some of the entries are taken, beside the self-loops that were given.
    """
    if draw is None:
        rowptr, place = graph.places(targets)
        value = take(graph.value, place)
    else:
        rowptr, place, factor = sample_places(graph, targets, draw, last_stays=scheme.self_loops)
        value, scheme = take(graph.value, place), replace(scheme, sampled=True)
        value = (value * factor).to(value.dtype)
    sources = take(graph.col, place)
    nodes, local = relabel(targets.to(sources.dtype), rowptr, sources)
    matrix = CSR(rowptr, local.to(rowptr.dtype), value, (targets.numel(), nodes.numel()))
    return Block(nodes.long(), targets.numel(), matrix, scheme, None if edge_id is None else take(edge_id, place))
