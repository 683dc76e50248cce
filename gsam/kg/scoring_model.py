"""What every knowledge-graph model of this package has, without PyTorch Geometric, whose import takes seconds."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gsam.kg._pairing import EVERY_PAIR, OWN_CANDIDATES, ROW_BY_ROW, Pairing, Parts

Space = Literal["lorentz", "poincare"]


class ScoringModel(nn.Module):
    """A scoring model whose queries meet their candidates in matrix products.

    The score is cut in two: what depends on head and relation, computed once a query, and what depends on the tail,
    computed once a candidate. Each half is a tuple of tensors, its *parts*. Every part is two-dimensional,
    [rows, width], a number being a part of width 1; so a caller may slice rows of parts, and store or concatenate
    them, without knowing the model.

    A subclass implements :meth:`query`, :meth:`candidates` and :meth:`score`, and fills its tables in
    :meth:`reset_parameters`; the default :meth:`score` is the inner product of the first parts. Every model has one
    bias per entity as head and one as tail.

    Args:
        num_nodes: N, the entities.
        num_relations: R, relation types; with reciprocal relations twice those of the graph.
        hidden_channels: d.
        sparse: give the tables of entities row-sparse gradients. Those of relations stay dense.

    Raises:
        ValueError: a size below 1.
    """

    #: relations whose answers are ranked by the reciprocal triples' scores, bool [R]; None: there are none
    turned: Tensor | None

    def __init__(self, num_nodes: int, num_relations: int, hidden_channels: int, sparse: bool = False) -> None:
        # not the next constructor in line, which may be KGEModel's: it would draw two tables, to be replaced at once
        nn.Module.__init__(self)
        for name, size in [("nodes", num_nodes), ("relations", num_relations), ("hidden_channels", hidden_channels)]:
            if size < 1:
                raise ValueError(f"expected at least 1 for the number of {name}, found {size}")
        self.num_nodes = num_nodes
        self.num_relations = num_relations
        self.hidden_channels = hidden_channels
        self.sparse = sparse
        self.register_buffer("turned", None)
        self.head_bias = self._entity_table(1)
        self.tail_bias = self._entity_table(1)

    def _entity_table(self, width: int) -> nn.Embedding:
        """Return a table [N, width] that :meth:`reset_parameters` has to fill.

        Not by ``nn.utils.skip_init``: the first tensor on the meta device makes torch import its compiler, for seconds.
        """
        return nn.Embedding.from_pretrained(torch.empty(self.num_nodes, width), freeze=False, sparse=self.sparse)

    def _relation_table(self, width: int) -> nn.Embedding:
        """Return a table [R, width] that :meth:`reset_parameters` has to fill."""
        return nn.Embedding.from_pretrained(torch.empty(self.num_relations, width), freeze=False)

    def _place(self, space: Space, curvature: float, *tables: nn.Embedding) -> None:
        """Say that the rows of filled tables are points of a manifold, for :class:`gsam.kg.KGModel`."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew; here the biases, which start at 0."""
        nn.init.zeros_(self.head_bias.weight)
        nn.init.zeros_(self.tail_bias.weight)

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the parts of the score that depend on head and relation.

        Args:
            head_index: [B].
            rel_type: [B].

        Returns:
            tensors of B rows.
        """
        raise NotImplementedError

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the parts of the score that depend on the tail.

        Args:
            tail_index: [n] (or [B, k], for :meth:`pointwise`); None means all N entities, whose gradients then are
                dense.

        Returns:
            tensors of n rows (leading dimensions [B, k]).
        """
        raise NotImplementedError

    def score(self, query: Parts, candidates: Parts, pairing: Pairing) -> Tensor:
        """Return the scores of the pairs that ``pairing`` makes; here the inner product of the first parts."""
        return pairing.inner(query[0], candidates[0])

    def pairwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores of B queries with n candidates, [B, n]: matrix products and elementwise functions."""
        return self.score(query, candidates, EVERY_PAIR)

    def pointwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores of B queries with candidates of their own.

        Args:
            query: parts of B rows.
            candidates: parts with leading dimension [B], one candidate a query, or [B, k], k candidates a query; the
                queries are spread over the k here, not by the caller.

        Returns:
            [B] or [B, k].
        """
        own = candidates[0].dim() > query[0].dim()
        return self.score(query, candidates, OWN_CANDIDATES if own else ROW_BY_ROW)

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        """Return the scores [B] of B triples."""
        return self.pointwise(self.query(head_index, rel_type), self.candidates(tail_index))

    def prepare(self, triples: Tensor) -> None:
        """Take from the training triples what the model has to know of them before training; nothing here.

        Args:
            triples: int64 [T, 3], with reciprocal ones if the model has reciprocal relations.
        """

    def constrain(self, rows: Tensor | None = None) -> None:
        """Bring parameters back inside their limits, in place, after a step; nothing to do here.

        Args:
            rows: [n] the entities that the step touched; None means all.
        """

    def regularization(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Parts:
        """Return the tensors [B, width] that the N3 penalty applies to; here none."""
        return ()
