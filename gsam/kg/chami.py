"""RotH, RefH and AttH: isometries of the hyperbolic space, with a curvature of its own for every relation."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsam.kg._givens import reflect, rotate
from gsam.kg._half_angle import squared_distance
from gsam.kg._hyperboloid import MAX_RADIUS, exp0, mobius_add
from gsam.kg._option_checks import check_positive
from gsam.kg._pairing import Pairing, Parts
from gsam.kg._tables import table_rows
from gsam.kg.scoring_model import ScoringModel
from gsam.manifolds.precision import outside_autocast

_INITIAL = 1e-3  # spread of entities, translations and contexts at the start, as published
_LEAST_CURVATURE = 1e-6


class HyperbolicIsometryScores(ScoringModel):
    """The scores of :class:`gsam.kg.HyperbolicIsometry`, which says what they are."""

    num_translations = 1
    num_isometries = 1

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        sparse: bool = False,
        *,
        curvature: float = 1.0,
    ) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        if hidden_channels % 2:
            raise ValueError(f"expected an even hidden_channels, as coordinates turn in pairs, found {hidden_channels}")
        if not check_positive("curvature", curvature) > _LEAST_CURVATURE:
            raise ValueError(f"expected a curvature above {_LEAST_CURVATURE}, found {curvature}")
        self.curvature = curvature
        self.node_emb = self._entity_table(hidden_channels)
        self.rel_emb = self._relation_table(self.num_translations * hidden_channels)
        self.rel_diag = self._relation_table(self.num_isometries * hidden_channels)
        self.rel_curvature = self._relation_table(1)
        self._add_tables()
        self.reset_parameters()

    def _add_tables(self) -> None:
        """Make the tables that only this model has."""

    def reset_parameters(self) -> None:
        """Entities and translations about 0, directions uniform, biases 0; as published but for the curvature."""
        super().reset_parameters()
        nn.init.normal_(self.node_emb.weight, std=_INITIAL)
        nn.init.normal_(self.rel_emb.weight, std=_INITIAL)
        nn.init.uniform_(self.rel_diag.weight, -1, 1)
        above = self.curvature - _LEAST_CURVATURE
        nn.init.constant_(self.rel_curvature.weight, above + math.log(-math.expm1(-above)))  # inverse of softplus

    def moved(self, head: Tensor, rel_type: Tensor, root: Tensor) -> Tensor:
        """Return where heads go.

        Args:
            head: tangent vectors [B, d].
            rel_type: [B].
            root: square roots of the relations' curvatures [B, 1].

        Returns:
            space coordinates on the hyperboloid of curvature -1 [B, d].
        """
        raise NotImplementedError

    def curvatures(self, rel_type: Tensor) -> Tensor:
        """Return the curvatures of relations, [B] to [B, 1]."""
        return F.softplus(self.rel_curvature(rel_type)) + _LEAST_CURVATURE

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        r"""Return the moved heads; see :meth:`gsam.kg.KGModel.query`.

        Returns:
            :math:`\sqrt{c_r} (|\tilde q|, -\tilde q)` [B, d + 1]; 2a, :math:`\sqrt{c_r}` and the bias, [B, 1] each.
        """
        root = self.curvatures(rel_type).sqrt()
        moved = self.moved(self.node_emb(head_index), rel_type, root)
        length = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
        return torch.cat([length, -moved], -1) * root, length.arcsinh(), root, self.head_bias(head_index)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails; see :meth:`gsam.kg.KGModel.candidates`.

        Returns:
            :math:`(|t|, t)` [n, d + 1]; :math:`|t|` and the bias, [n, 1] each.
        """
        tail = table_rows(self.node_emb, tail_index)
        length = torch.linalg.vector_norm(tail, dim=-1, keepdim=True)
        return torch.cat([length, tail], -1), length, table_rows(self.tail_bias, tail_index)

    def score(self, query: Parts, candidates: Parts, pairing: Pairing) -> Tensor:
        """Return minus squared distances plus biases; see :meth:`gsam.kg.KGModel.score`."""
        moved, radius, root, head_bias = query
        tail, length, tail_bias = candidates
        root = pairing.left(root)
        reach = (2 * root * pairing.right(length)).clamp_min(torch.finfo(tail.dtype).tiny ** 0.5)  # sinh(x) / x is 1
        held = reach.clamp_max(MAX_RADIUS)
        radial = ((pairing.left(radius) - held) / 2).sinh().square()
        angular = pairing.inner(moved, tail) * (held.sinh() / reach)
        distance = squared_distance(radial + angular, root.square())
        return pairing.left(head_bias) + pairing.right(tail_bias) - distance

    def regularization(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Parts:
        """Return heads, translations and tails, as published; see :meth:`gsam.kg.KGModel.regularization`."""
        return self.node_emb(head_index), self.rel_emb(rel_type), self.node_emb(tail_index)


class RotHScores(HyperbolicIsometryScores):
    """The scores of :class:`gsam.kg.RotH`, which says what they are."""

    num_translations = 2

    def moved(self, head: Tensor, rel_type: Tensor, root: Tensor) -> Tensor:
        """See :meth:`gsam.kg.HyperbolicIsometry.moved`."""
        first, second = (exp0(root * r) for r in self.rel_emb(rel_type).chunk(2, -1))
        return mobius_add(rotate(self.rel_diag(rel_type), mobius_add(exp0(root * head), first)), second)


class RefHScores(HyperbolicIsometryScores):
    """The scores of :class:`gsam.kg.RefH`, which says what they are."""

    def moved(self, head: Tensor, rel_type: Tensor, root: Tensor) -> Tensor:
        """See :meth:`gsam.kg.HyperbolicIsometry.moved`."""
        reflected = reflect(self.rel_diag(rel_type), head)
        return mobius_add(exp0(root * reflected), exp0(root * self.rel_emb(rel_type)))


class AttHScores(HyperbolicIsometryScores):
    """The scores of :class:`gsam.kg.AttH`, which says what they are."""

    num_isometries = 2

    def _add_tables(self) -> None:
        self.rel_context = self._relation_table(self.hidden_channels)

    def reset_parameters(self) -> None:
        """As the others, contexts about 0."""
        super().reset_parameters()
        nn.init.normal_(self.rel_context.weight, std=_INITIAL)

    def moved(self, head: Tensor, rel_type: Tensor, root: Tensor) -> Tensor:
        """See :meth:`gsam.kg.HyperbolicIsometry.moved`."""
        rotation, reflection = self.rel_diag(rel_type).chunk(2, -1)
        both = torch.stack([reflect(reflection, head), rotate(rotation, head)], 1)
        context = self.rel_context(rel_type).unsqueeze(-1) / self.hidden_channels**0.5
        mixed = (_products(both, context).softmax(1) * both).sum(1)
        return mobius_add(exp0(root * mixed), exp0(root * self.rel_emb(rel_type)))


@outside_autocast
def _products(both: Tensor, context: Tensor) -> Tensor:
    return both @ context
