"""Ranks of the true entities, and the figures made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsam.kg.relation_categories import CATEGORIES, relation_categories

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph

SIDES = ("head", "tail")
HITS = (1, 3, 10)
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The positions of the true heads and tails of T triples among all candidates, from 1.

    Attributes:
        triples: int64 [T, 3], on the CPU.
        best: for ``"head"`` and ``"tail"`` the position int64 [T] if every tie goes to the true entity (optimistic).
        worst: the same if every tie goes against it (pessimistic).
        pessimistic: whether :attr:`ranks` are the worst positions, not the means of both.
    """

    triples: Tensor
    best: dict[str, Tensor]
    worst: dict[str, Tensor]
    pessimistic: bool = False

    @property
    def ranks(self) -> dict[str, Tensor]:
        """For ``"head"`` and ``"tail"`` the ranks float64 [T], in the order of the triples."""
        if self.pessimistic:
            return {side: self.worst[side].double() for side in SIDES}
        return {side: (self.best[side] + self.worst[side]).double() / 2 for side in SIDES}

    def metrics(self, ks: Sequence[int] = HITS) -> Figures:
        """Return ``"both"``, ``"head"`` and ``"tail"``, each with ``mrr``, ``mr``, ``hits@k`` and ``count``.

        ``mrr`` is the mean of 1 / rank, ``mr`` that of the rank, ``hits@k`` the share of ranks up to k, ``count`` the
        number of ranks: one for each triple and side.

        Args:
            ks: the k of Hits@k, each at least 1.
        """
        return self._figures(torch.arange(len(self.triples)), ks)

    def per_relation(self, graph: KnowledgeGraph, ks: Sequence[int] = HITS) -> dict[str, Figures]:
        """Return the :meth:`metrics` of the triples of each relation that has some, by its name."""
        names = dict(enumerate(graph.relations))
        return self._by(self.triples[:, 1], names, ks)

    def per_category(self, graph: KnowledgeGraph, ks: Sequence[int] = HITS) -> dict[str, Figures]:
        """Return the :meth:`metrics` of the triples of each kind of relation: ``1-1``, ``1-N``, ``N-1``, ``N-N``.

        The kinds are those of the training triples, see
        :func:`~gsam.kg.relation_categories.relation_categories`; one without triples here is left out, and so are
        relations without training triples.
        """
        categories = relation_categories(graph.train.cpu(), graph.num_relations)
        return self._by(categories[self.triples[:, 1]], dict(enumerate(CATEGORIES)), ks)

    def _by(self, group: Tensor, names: dict[int, str], ks: Sequence[int]) -> dict[str, Figures]:
        present, counts = group.unique(return_counts=True)
        members = group.argsort(stable=True).split(counts.tolist())
        found = zip(present.tolist(), members, strict=True)
        return {names[key]: self._figures(rows, ks) for key, rows in found if key in names}

    def _figures(self, rows: Tensor, ks: Sequence[int]) -> Figures:
        ranks = {side: values[rows] for side, values in self.ranks.items()}
        sides = {"both": torch.cat([ranks[side] for side in SIDES]), **ranks}
        return {side: rank_figures(values, ks) for side, values in sides.items()}


def rank_figures(ranks: Tensor, ks: Sequence[int] = HITS) -> dict[str, float]:
    """Return ``mrr``, ``mr``, ``hits@k`` and ``count`` of ranks [n].

    Raises:
        ValueError: there are no ranks, or a k is below 1.
    """
    if not len(ranks):
        raise ValueError("expected at least one rank, found none")
    if any(k < 1 for k in ks):
        raise ValueError(f"expected ks of at least 1, found {list(ks)}")
    hits = {f"hits@{k}": float((ranks <= k).double().mean()) for k in ks}
    return {"mrr": float(ranks.reciprocal().mean()), "mr": float(ranks.mean()), **hits, "count": len(ranks)}
