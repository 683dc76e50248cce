"""Closed forms of the scores of PyG's models, read in torch_geometric 2.8: every pair by matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn.kge import ComplEx, DistMult, RotatE, TransE

from gsam.kg._pairing import EVERY_PAIR, OWN_CANDIDATES, ROW_BY_ROW, Parts
from gsam.kg._tables import table_rows


class _InnerProduct:
    """Scores that are the inner products of one vector per query and one per candidate."""

    def pairwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B, n] of all pairs."""
        return EVERY_PAIR.inner(query[0], candidates[0])

    def pointwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B] or [B, k] of candidates of leading dimensions [B] or [B, k]."""
        own = candidates[0].dim() > query[0].dim()
        return (OWN_CANDIDATES if own else ROW_BY_ROW).inner(query[0], candidates[0])


class _MinusDistance:
    """Scores ``margin - |q - c|_p`` of one vector per query and one per candidate."""

    def __init__(self, p: float, margin: float = 0.0) -> None:
        self.p, self.margin = p, margin

    def pairwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B, n] of all pairs.

        For p = 2 the distances come from a matrix product, ten times as fast; its rounding error is that of the
        squared lengths, so distances far below the lengths lose digits. Other p are computed coordinate by coordinate.
        """
        distance = torch.cdist(query[0], candidates[0], p=self.p, compute_mode="use_mm_for_euclid_dist")
        return self.margin - distance

    def pointwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B] or [B, k] of candidates of leading dimensions [B] or [B, k]."""
        vector = query[0].unsqueeze(1) if candidates[0].dim() > query[0].dim() else query[0]
        return self.margin - torch.linalg.vector_norm(vector - candidates[0], ord=self.p, dim=-1)


class DistMultScorer(_InnerProduct):
    """``<h, r, t>``.

    Args:
        model: scored with its present weights.
    """

    def __init__(self, model: DistMult) -> None:
        self.model = model

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return h * r, [B, d]."""
        return (self.model.node_emb(head_index) * self.model.rel_emb(rel_type),)

    #: the score is symmetric in head and tail
    head_query = query

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return t, [n, d]."""
        return (table_rows(self.model.node_emb, tail_index),)


class ComplExScorer(_InnerProduct):
    """``Re <h, r, conj(t)>``, complex vectors as their real parts followed by their imaginary parts.

    Args:
        model: scored with its present weights.
    """

    def __init__(self, model: ComplEx) -> None:
        self.model = model

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return h * r, [B, 2d]."""
        return (_product(*_complex(self.model, head_index), *self._relation(rel_type)),)

    def head_query(self, tail_index: Tensor, rel_type: Tensor) -> Parts:
        """Return t * conj(r), [B, 2d]: ``Re(h r conj(t)) = Re(h conj(t conj(r)))``."""
        real, imaginary = self._relation(rel_type)
        return (_product(*_complex(self.model, tail_index), real, -imaginary),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return t, [n, 2d]."""
        return (torch.cat(_complex(self.model, tail_index), -1),)

    def _relation(self, rel_type: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.rel_emb(rel_type), self.model.rel_emb_im(rel_type)


class TransEScorer(_MinusDistance):
    """``-|h/|h|_p + r - t/|t|_p|_p``: PyG normalises the entities of a triple, not the relation.

    Args:
        model: scored with its present weights.
    """

    def __init__(self, model: TransE) -> None:
        super().__init__(model.p_norm)
        self.model = model

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the normalised head plus the relation, [B, d]."""
        return (self._entities(head_index) + self.model.rel_emb(rel_type),)

    def head_query(self, tail_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the normalised tail less the relation, [B, d]."""
        return (self._entities(tail_index) - self.model.rel_emb(rel_type),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the normalised tail, [n, d]."""
        return (self._entities(tail_index),)

    def _entities(self, index: Tensor | None) -> Tensor:
        return F.normalize(table_rows(self.model.node_emb, index), p=self.p, dim=-1)


class RotatEScorer(_MinusDistance):
    """``margin - |h * exp(i r) - t|_2``, the Euclidean length of the whole complex vector.

    Args:
        model: scored with its present weights.
    """

    def __init__(self, model: RotatE) -> None:
        super().__init__(2.0, model.margin)
        self.model = model

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the rotated head, [B, 2d]."""
        return self._rotated(head_index, self.model.rel_emb(rel_type))

    def head_query(self, tail_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the tail rotated back, [B, 2d]: rotations keep lengths."""
        return self._rotated(tail_index, -self.model.rel_emb(rel_type))

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return t, [n, 2d]."""
        return (torch.cat(_complex(self.model, tail_index), -1),)

    def _rotated(self, index: Tensor, angle: Tensor) -> Parts:
        return (_product(*_complex(self.model, index), angle.cos(), angle.sin()),)


def _complex(model: Any, index: Tensor | None) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts of entities."""
    return table_rows(model.node_emb, index), table_rows(model.node_emb_im, index)


def _product(x_re: Tensor, x_im: Tensor, y_re: Tensor, y_im: Tensor) -> Tensor:
    """Complex product, its imaginary part behind its real part."""
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], -1)


#: scorer of each model, by the ``forward`` that it is the closed form of
CLOSED_FORMS: dict[Callable[..., Tensor], Callable[[Any], Any]] = {
    ComplEx.forward: ComplExScorer,
    DistMult.forward: DistMultScorer,
    RotatE.forward: RotatEScorer,
    TransE.forward: TransEScorer,
}
