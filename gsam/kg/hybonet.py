"""HyboNet: a Lorentz linear map per relation, scores linear in the tail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsam.kg._option_checks import check_choice, check_dropout, check_finite, check_limit, check_positive
from gsam.kg._pairing import Parts
from gsam.kg._relation_matrices import apply_relation_matrices
from gsam.kg._tables import clip_rows, row_blocks, table_rows, update_rows
from gsam.kg.relation_categories import functional_relations, symmetric_relations, turned_relations
from gsam.kg.scoring_model import ScoringModel
from gsam.manifolds import lorentz_math

_GAP = 0.1  # least distance of a query's time coordinate from 1, where a direction would have no length
_NOISE = 0.1  # spectral size of what is added to the identity, about
_TINY = 1e-9  # least squared length of a direction that can be rescaled


class HyboNetScores(ScoringModel):
    """The scores of :class:`gsam.kg.HyboNet`, which says what they are."""

    #: s of each relation [R, 1]; None: max_scale for all
    relation_scale: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        sparse: bool = False,
        *,
        margin: float = 8.0,
        max_norm: float | None = 1.5,
        max_scale: float = 3.5,
        symmetric_scale: float | None = None,
        functional_scale: float | None = None,
        score_by: str = "asked",
        dropout: float = 0.0,
        curvature: float = 1.0,
        init: str = "kaiming",
    ) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        self.margin = check_finite("margin", margin)
        self.max_norm = check_limit("max_norm", max_norm)
        self.max_scale = check_positive("max_scale", max_scale)
        self.symmetric_scale = check_limit("symmetric_scale", symmetric_scale)
        self.functional_scale = check_limit("functional_scale", functional_scale)
        self.dropout = check_dropout(dropout)
        self.init = check_choice("init", init, ("kaiming", "identity"))
        self.curvature = check_positive("curvature", curvature)
        self.node_emb = self._entity_table(hidden_channels + 1)
        self.rel_transform = nn.Parameter(torch.empty(num_relations, hidden_channels + 1, hidden_channels + 1))
        self.rel_bias = self._relation_table(hidden_channels)
        alike = self.symmetric_scale is None and self.functional_scale is None
        self.register_buffer("relation_scale", None if alike else torch.full((num_relations, 1), self.max_scale))
        if check_choice("score_by", score_by, ("asked", "functional")) == "functional":
            self.turned = torch.zeros(num_relations, dtype=torch.bool)
        self.reset_parameters()
        self._place("lorentz", self.curvature, self.node_emb)

    def reset_parameters(self) -> None:
        """Entities about the origin, matrices as ``init`` says, one relation at a time, biases 0."""
        super().reset_parameters()
        for block in row_blocks(self.node_emb.weight):
            space = torch.empty_like(block[:, 1:]).normal_(std=self.hidden_channels**-0.5)
            block.copy_(lorentz_math.lift(space / self._root(), self.curvature))
        self._reset_matrices()
        nn.init.zeros_(self.rel_bias.weight)
        self.constrain()

    @torch.no_grad()
    def _reset_matrices(self) -> None:
        width = self.hidden_channels + 1
        if self.init == "kaiming":
            self.rel_transform.uniform_(-1, 1).mul_((6 / width) ** 0.5)
        else:
            self.rel_transform.normal_(std=_NOISE / width**0.5).add_(torch.eye(width).to(self.rel_transform))

    @torch.no_grad()
    def prepare(self, triples: Tensor) -> None:
        """Tell the kinds of relations apart that the options speak of; see :meth:`KGModel.prepare`."""
        kinds = {functional_relations: self.functional_scale, symmetric_relations: self.symmetric_scale}
        if self.relation_scale is not None:
            self.relation_scale.fill_(self.max_scale)
            for kind, scale in kinds.items():  # symmetric ones last, as some are both
                if scale is not None:
                    self.relation_scale[kind(triples, self.num_relations)] = scale
        if self.turned is not None:
            self.turned.copy_(turned_relations(triples, self.num_relations))

    def _scale(self, rel_type: Tensor) -> Tensor | float:
        return self.max_scale if self.relation_scale is None else self.relation_scale[rel_type]

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the transformed heads with margin and bias, [B, d + 3]; see :meth:`gsam.kg.KGModel.query`."""
        space = F.dropout(self._unit_space(head_index), self.dropout, self.training)
        moved = apply_relation_matrices(self.rel_transform, rel_type, lorentz_math.lift(space, 1.0))
        time = moved[:, :1].sigmoid() * self._scale(rel_type) + (1 + _GAP)
        direction = moved[:, 1:] + self.rel_bias(rel_type)
        length = (time * time - 1).sqrt()
        space = direction * (length * direction.square().sum(-1, keepdim=True).clamp_min(_TINY).rsqrt())
        own = self.head_bias(head_index) + self.margin
        return (torch.cat([-2 * time, 2 * space, own, torch.ones_like(own)], -1),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails with bias, [n, d + 3]; see :meth:`gsam.kg.KGModel.candidates`."""
        point = lorentz_math.lift(self._unit_space(tail_index), 1.0)
        bias = table_rows(self.tail_bias, tail_index)
        return (torch.cat([point, torch.ones_like(bias), bias], -1),)

    @torch.no_grad()
    def constrain(self, rows: Tensor | None = None) -> None:
        """Clip space coordinates to ``max_norm``, recompute time coordinates; see :meth:`gsam.kg.KGModel.constrain`."""
        update_rows(self.node_emb.weight, rows, self._within_limits)

    def _within_limits(self, points: Tensor) -> Tensor:
        space = points[:, 1:]
        if self.max_norm is not None:
            space = clip_rows(space, self.max_norm / self._root())
        return lorentz_math.lift(space, self.curvature)

    def _root(self) -> float:
        return self.curvature**0.5

    def _unit_space(self, index: Tensor | None) -> Tensor:
        """Return the space coordinates of entities in units of 1/sqrt(c), [n, d]."""
        return table_rows(self.node_emb, index)[..., 1:] * self._root()
