"""What kind of relation: 1-1, 1-N, N-1 or N-N, symmetric or not."""

from __future__ import annotations

import torch
from torch import Tensor

#: categories by their code: the side of the heads first, 1-N being one head with many tails
CATEGORIES = ("1-1", "1-N", "N-1", "N-N")
_MANY = 1.5


def relation_categories(triples: Tensor, num_relations: int) -> Tensor:
    """Return the category of each relation, as positions in :data:`CATEGORIES`, int64 [R]; -1 if it has no triple.

    A side is "N" if a relation has on average at least 1.5 distinct entities there for one on the other side: tails
    per pair (h, r) that occurs, heads per pair (r, t) that occurs (Bordes et al., NeurIPS 2013, section 4.2).
    Duplicate triples count once.

    Args:
        triples: int64 [T, 3], as a rule those of training.
        num_relations: R.
    """
    triples = triples.unique(dim=0)
    occurrences = torch.bincount(triples[:, 1], minlength=num_relations)
    tails_per_head, heads_per_tail = (occurrences / _distinct(triples[:, [1, side]], num_relations) for side in (0, 2))
    found = 2 * (heads_per_tail >= _MANY).long() + (tails_per_head >= _MANY).long()
    return torch.where(occurrences > 0, found, -1)


def functional_relations(triples: Tensor, num_relations: int) -> Tensor:
    """Return whether a query (h, r, ?) has next to one answer: fewer than 1.5 tails on average, bool [R].

    These are the relations 1-1 and N-1 of :func:`relation_categories`; one without a triple is none.
    """
    found = relation_categories(triples, num_relations)
    return (found == CATEGORIES.index("1-1")) | (found == CATEGORIES.index("N-1"))


def turned_relations(triples: Tensor, num_relations: int) -> Tensor:
    """Return which relations have many answers to a query while their reciprocal has next to one, bool [R].

    Args:
        triples: int64 [T, 3], reciprocal ones included.
        num_relations: R, reciprocal ones included: the reciprocal of r is ``(r + R / 2) % R``.
    """
    functional = functional_relations(triples, num_relations)
    return functional.roll(num_relations // 2) & ~functional


def symmetric_relations(triples: Tensor, num_relations: int) -> Tensor:
    """Return whether more than half of the triples (h, r, t) of each relation have (t, r, h) beside them, bool [R].

    Args:
        triples: int64 [T, 3], as a rule those of training; duplicates and loops (h = t) do not count.
        num_relations: R.
    """
    triples = triples[triples[:, 0] != triples[:, 2]].unique(dim=0)
    size = int(triples[:, [0, 2]].max()) + 1 if len(triples) else 1
    head, relation, tail = triples.unbind(1)
    both = torch.isin((relation * size + tail) * size + head, (relation * size + head) * size + tail)
    total = torch.bincount(relation, minlength=num_relations)
    return 2 * torch.bincount(relation[both], minlength=num_relations) > total


def _distinct(pairs: Tensor, num_relations: int) -> Tensor:
    """How many distinct rows (relation, entity) each relation has."""
    return torch.bincount(pairs.unique(dim=0)[:, 0], minlength=num_relations)
