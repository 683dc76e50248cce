"""MuRP and its Euclidean twin MuRE: a diagonal map of the head, a translation of the tail."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from gsam.kg._half_angle import squared_distance
from gsam.kg._option_checks import check_limit, check_positive
from gsam.kg._pairing import Pairing, Parts
from gsam.kg._tables import clip_rows, table_rows, update_rows
from gsam.kg.scoring_model import ScoringModel
from gsam.manifolds import poincare_math

_INITIAL = 1e-3  # spread of entities and translations at the start, as published


class MuREScores(ScoringModel):
    """The scores of :class:`gsam.kg.MuRE`, which says what they are."""

    def __init__(self, num_nodes: int, num_relations: int, hidden_channels: int, sparse: bool = False) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        self.node_emb = self._entity_table(hidden_channels)
        self.rel_emb = self._relation_table(hidden_channels)
        self.rel_diag = self._relation_table(hidden_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Entities and translations about 0, diagonals between -1 and 1, biases 0; as published."""
        super().reset_parameters()
        _draw_tables(self)

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the moved heads with norm and bias, [B, d + 2]; see :meth:`gsam.kg.KGModel.query`."""
        moved = self.rel_diag(rel_type) * self.node_emb(head_index) - self.rel_emb(rel_type)
        own = self.head_bias(head_index) - moved.square().sum(-1, keepdim=True)
        return (torch.cat([2 * moved, own, torch.ones_like(own)], -1),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails with norm and bias, [n, d + 2]; see :meth:`gsam.kg.KGModel.candidates`."""
        tail = table_rows(self.node_emb, tail_index)
        own = table_rows(self.tail_bias, tail_index) - tail.square().sum(-1, keepdim=True)
        return (torch.cat([tail, torch.ones_like(own), own], -1),)

    def regularization(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Parts:
        """Return heads, translations and tails; see :meth:`gsam.kg.KGModel.regularization`."""
        return self.node_emb(head_index), self.rel_emb(rel_type), self.node_emb(tail_index)


class MuRPScores(ScoringModel):
    """The scores of :class:`gsam.kg.MuRP`, which says what they are."""

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        sparse: bool = False,
        *,
        curvature: float = 1.0,
        max_norm: float = 0.99,
    ) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        check_limit("max_norm", max_norm, below=1.0)
        self.max_norm = max_norm
        self.curvature = check_positive("curvature", curvature)
        self.node_emb = self._entity_table(hidden_channels)
        self.rel_emb = self._relation_table(hidden_channels)
        self.rel_diag = self._relation_table(hidden_channels)
        self.reset_parameters()
        self._place("poincare", self.curvature, self.node_emb, self.rel_emb)

    def reset_parameters(self) -> None:
        """Entities and translations about 0, diagonals between -1 and 1, biases 0; as published."""
        super().reset_parameters()
        _draw_tables(self)
        self.constrain()

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return moved heads, translations and what they need together; see :meth:`gsam.kg.KGModel.query`.

        Returns:
            the factors of :math:`(t, |t|^2, 1)` [B, d + 2]; x [B, d]; 4 r over the denominator [B, d]; bias [B, 1].
            All in units of 1/sqrt(c).
        """
        tangent = self.rel_diag(rel_type) * poincare_math.logmap0(self._unit(self.node_emb(head_index)), 1.0)
        x = clip_rows(poincare_math.expmap0(tangent, 1.0), self.max_norm)
        r = self._unit(self.rel_emb(rel_type))
        xx, rr, xr = (_dot(x, x), _dot(r, r), _dot(x, r))
        scale = 1 / ((1 - xx) * (1 - rr))
        linear = 2 * (1 + xx) * r - 2 * (1 + rr) * x
        factors = torch.cat([linear, 1 + 2 * xr + xx * rr, xx - 2 * xr + rr], -1) * scale
        return factors, x, 4 * scale * r, self.head_bias(head_index)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails; see :meth:`gsam.kg.KGModel.candidates`.

        Returns:
            :math:`(t, |t|^2, 1)` over the denominator [n, d + 2]; t [n, d]; t over the denominator [n, d]; bias [n, 1].
        """
        t = self._unit(table_rows(self.node_emb, tail_index))
        tt = _dot(t, t)
        scale = 1 / (1 - tt)
        scaled = t * scale
        return torch.cat([scaled, tt * scale, scale], -1), t, scaled, table_rows(self.tail_bias, tail_index)

    def score(self, query: Parts, candidates: Parts, pairing: Pairing) -> Tensor:
        """Return minus squared distances plus biases; see :meth:`gsam.kg.KGModel.score`."""
        factors, x, r, head_bias = query
        features, t, scaled, tail_bias = candidates
        half = pairing.inner(factors, features) - pairing.inner(x, t) * pairing.inner(r, scaled)
        return pairing.left(head_bias) + pairing.right(tail_bias) - squared_distance(half, self.curvature)

    @torch.no_grad()
    def constrain(self, rows: Tensor | None = None) -> None:
        """Clip touched entities, and all translations, to ``max_norm``; see :meth:`gsam.kg.KGModel.constrain`."""
        within = partial(clip_rows, limit=self.max_norm / self.curvature**0.5)
        update_rows(self.node_emb.weight, rows, within)
        update_rows(self.rel_emb.weight, None, within)

    def _unit(self, point: Tensor) -> Tensor:
        """Return points in units of 1/sqrt(c)."""
        return point * self.curvature**0.5


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


def _draw_tables(model: MuREScores | MuRPScores) -> None:
    nn.init.normal_(model.node_emb.weight, std=_INITIAL)
    nn.init.normal_(model.rel_emb.weight, std=_INITIAL)
    nn.init.uniform_(model.rel_diag.weight, -1, 1)
