"""HyboNet: a Lorentz linear map per relation, scores linear in the tail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsam.kg._option_checks import check_choice, check_dropout, check_finite, check_limit, check_positive
from gsam.kg._pairing import Parts
from gsam.kg._relation_matrices import apply_relation_matrices
from gsam.kg._tables import clip_rows, place_on, table_rows, write_rows
from gsam.kg.model import KGModel
from gsam.manifolds import Lorentz, lorentz_math

_GAP = 0.1  # least distance of a query's time coordinate from 1, where a direction would have no length
_NOISE = 0.1  # spectral size of what is added to the identity, about
_TINY = 1e-9  # least squared length of a direction that can be rescaled


class HyboNet(KGModel):
    r"""HyboNet (Chen et al., ACL 2022, *Fully Hyperbolic Neural Networks*), for any curvature.

    Entities are points on the hyperboloid :math:`\langle x, x\rangle_L = -1/c` of dimension d, with d + 1
    coordinates, time first. A relation is a matrix :math:`W_r` and a bias :math:`b_r`; with :math:`\hat x = \sqrt c x`

    .. math::
        y = W_r \hat h, \quad
        \hat f_0 = \mathrm{sigmoid}(y_0) \cdot s + 1.1, \quad
        \hat f_{1:} = \sqrt{\hat f_0^2 - 1} \; (y_{1:} + b_r) / |y_{1:} + b_r|, \quad
        f_r(h) = \hat f / \sqrt c

    .. math::
        \mathrm{score}(h, r, t) = m + 2 c \langle f_r(h), t\rangle_L + b_h + b_t
                                = m - 2 - c \, \| f_r(h) - t \|_L^2 + b_h + b_t.

    **General curvature.** A point's time coordinate is at least :math:`1/\sqrt c`, so the published offset 1.1 leaves
    the hyperboloid for :math:`c < 1/1.21` and pins queries far out for large c. Here everything is measured in units
    of :math:`1/\sqrt c`: time is :math:`(\mathrm{sigmoid}(y_0) s + 1 + 0.1)/\sqrt c` and the score holds
    :math:`c \|\cdot\|_L^2`, which has no unit. Points :math:`x/\sqrt c` at curvature c thus score as the points x do
    at curvature 1, where both formulas are the published ones. So c changes the metric in which a Riemannian optimizer
    measures its steps, not what the model can express, and there is no learnable c: it would be one more scale, and
    would move the manifold under an optimizer's momenta.

    Only the space coordinates of the table enter the score; time is recomputed from them, so that rounding, weight
    averages or a Euclidean optimizer cannot take the scored points off the hyperboloid.

    Args:
        num_nodes: N.
        num_relations: R.
        hidden_channels: d, dimension of the hyperboloid.
        sparse: row-sparse gradients of the entity tables.
        margin: m.
        max_norm: limit of :math:`\sqrt c |x_{1:}|` of the entities, kept by :meth:`constrain`; None for no limit.
        max_scale: s, positive; queries lie within a time coordinate of :math:`(s + 1.1)/\sqrt c`.
        dropout: share of the head's space coordinates set to 0 before :math:`W_r`, in training; the head stays on the
            hyperboloid. Not in the paper.
        curvature: c, positive.
        init: of the matrices: ``"kaiming"``, as published, or ``"identity"``, the identity and a little noise: every
            relation then begins near "related entities are close", and agrees with its reciprocal.

    Raises:
        ValueError: an option outside its range.
    """

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
        dropout: float = 0.0,
        curvature: float = 1.0,
        init: str = "kaiming",
    ) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        self.margin = check_finite("margin", margin)
        self.max_norm = check_limit("max_norm", max_norm)
        self.max_scale = check_positive("max_scale", max_scale)
        self.dropout = check_dropout(dropout)
        self.init = check_choice("init", init, ("kaiming", "identity"))
        self.manifold = Lorentz(curvature)
        self.node_emb = self._entity_table(hidden_channels + 1)
        self.rel_transform = nn.Parameter(torch.empty(num_relations, hidden_channels + 1, hidden_channels + 1))
        self.rel_bias = self._relation_table(hidden_channels)
        self.reset_parameters()
        place_on(self.node_emb, self.manifold)

    def reset_parameters(self) -> None:
        """Entities about the origin, matrices as ``init`` says, one relation at a time, biases 0."""
        super().reset_parameters()
        with torch.no_grad():
            space = torch.empty_like(self.node_emb.weight[:, 1:]).normal_(std=self.hidden_channels**-0.5)
            self.node_emb.weight.copy_(lorentz_math.lift(space / self._root(), self.manifold.c))
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

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the transformed heads with margin and bias, [B, d + 3]; see :meth:`KGModel.query`."""
        space = F.dropout(self._unit_space(head_index), self.dropout, self.training)
        moved = apply_relation_matrices(self.rel_transform, rel_type, lorentz_math.lift(space, 1.0))
        time = moved[:, :1].sigmoid() * self.max_scale + (1 + _GAP)
        direction = moved[:, 1:] + self.rel_bias(rel_type)
        length = (time * time - 1).sqrt()
        space = direction * (length * direction.square().sum(-1, keepdim=True).clamp_min(_TINY).rsqrt())
        own = self.head_bias(head_index) + self.margin
        return (torch.cat([-2 * time, 2 * space, own, torch.ones_like(own)], -1),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails with bias, [n, d + 3]; see :meth:`KGModel.candidates`."""
        point = lorentz_math.lift(self._unit_space(tail_index), 1.0)
        bias = table_rows(self.tail_bias, tail_index)
        return (torch.cat([point, torch.ones_like(bias), bias], -1),)

    @torch.no_grad()
    def constrain(self, rows: Tensor | None = None) -> None:
        """Clip space coordinates to ``max_norm``, recompute time coordinates; see :meth:`KGModel.constrain`."""
        space = (self.node_emb.weight if rows is None else self.node_emb.weight[rows])[:, 1:]
        if self.max_norm is not None:
            space = clip_rows(space, self.max_norm / self._root())
        write_rows(self.node_emb.weight, rows, lorentz_math.lift(space, self.manifold.c))

    def _root(self) -> float:
        return float(self.manifold.c**0.5)

    def _unit_space(self, index: Tensor | None) -> Tensor:
        """Return the space coordinates of entities in units of 1/sqrt(c), [n, d]."""
        return table_rows(self.node_emb, index)[..., 1:] * self._root()
