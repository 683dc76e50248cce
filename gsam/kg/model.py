"""The interface of this package's knowledge-graph models."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn.kge import KGEModel

from gsam.kg._tables import place_on
from gsam.kg.scoring_model import ScoringModel, Space
from gsam.manifolds import Hyperbolic, Lorentz, PoincareBall

_MANIFOLDS: Mapping[Space, type[Hyperbolic]] = {"lorentz": Lorentz, "poincare": PoincareBall}


class KGModel(ScoringModel, KGEModel):
    """A scoring model whose queries meet their candidates in matrix products.

    It is a :class:`torch_geometric.nn.kge.KGEModel` (``forward``, ``loss``, ``loader``, ``test``) whose score is cut
    in two: what depends on head and relation, computed once a query, and what depends on the tail, computed once a
    candidate. Each half is a tuple of tensors, its *parts*. Every part is two-dimensional, [rows, width], a number
    being a part of width 1; so a caller may slice rows of parts, and store or concatenate them, without knowing the
    model.

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

    def _place(self, space: Space, curvature: float, *tables: nn.Embedding) -> None:
        """Make the rows of filled tables points of ``self.manifold``."""
        self.manifold = _MANIFOLDS[space](curvature)
        for table in tables:
            place_on(table, self.manifold)

    def loss(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        """Return the binary cross entropy of B triples and as many corrupted ones, drawn by ``random_sample``."""
        true = self(head_index, rel_type, tail_index)
        false = self(*KGEModel.random_sample(self, head_index, rel_type, tail_index))
        target = torch.cat([torch.ones_like(true), torch.zeros_like(false)])
        return F.binary_cross_entropy_with_logits(torch.cat([true, false]), target)
