"""The knowledge-graph models of this package: their scores, as models of PyTorch Geometric."""

from __future__ import annotations

from gsam.kg.chami import AttHScores, HyperbolicIsometryScores, RefHScores, RotHScores
from gsam.kg.hybonet import HyboNetScores
from gsam.kg.model import KGModel
from gsam.kg.mur import MuREScores, MuRPScores


class HyboNet(HyboNetScores, KGModel):
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
        symmetric_scale: s of the relations most of whose training triples occur in both directions
            (:func:`~gsam.kg.symmetric_relations`, looked at by :meth:`prepare`); None for the same s. Who has seen one
            of the two triples can be sure of the other, which takes a sharp score; relations that have to be guessed
            generalise better with a soft one. Not in the paper.
        functional_scale: s of the other relations whose queries have next to one answer
            (:func:`~gsam.kg.functional_relations`), told by :meth:`prepare` as well; None for the same s. Not in the
            paper.
        score_by: a triple (h, r, t) and its reciprocal (t, r', h) say the same, and have a score each. ``"asked"``
            ranks the answers to (h, r, ?) by the former, as in the paper. ``"functional"`` ranks them by the latter
            where queries of r have many answers and those of r' next to one (:func:`~gsam.kg.turned_relations`, told
            by :meth:`prepare`): which hypernym a synset has is learnt better than which of its hyponyms is meant. It
            changes :func:`~gsam.kg.rank` and :func:`~gsam.kg.predict`, not training. Not in the paper.
        dropout: share of the head's space coordinates set to 0 before :math:`W_r`, in training; the head stays on the
            hyperboloid. Not in the paper.
        curvature: c, positive.
        init: of the matrices: ``"kaiming"``, as published, or ``"identity"``, the identity and a little noise: every
            relation then begins near "related entities are close", and agrees with its reciprocal.

    Raises:
        ValueError: an option outside its range.
    """


class MuRE(MuREScores, KGModel):
    r"""MuRE (Balazevic et al., NeurIPS 2019, *Multi-relational Poincaré Graph Embeddings*).

    .. math:: \mathrm{score}(h, r, t) = -|R_r h - (t + r)|^2 + b_h + b_t

    with :math:`R_r` diagonal. The square is expanded, so the scores of all candidates are one matrix product; the
    absolute error is that of rounding numbers as large as :math:`|R_r h - r|^2 + |t|^2`.

    Args:
        num_nodes: N.
        num_relations: R.
        hidden_channels: d.
        sparse: row-sparse gradients of the entity tables.
    """


class MuRP(MuRPScores, KGModel):
    r"""MuRP (Balazevic et al., NeurIPS 2019, *Multi-relational Poincaré Graph Embeddings*).

    .. math:: \mathrm{score}(h, r, t) = -d(\exp_0(R_r \log_0 h),\; t \oplus r)^2 + b_h + b_t

    on the Poincaré ball of curvature -c, :math:`R_r` diagonal; entities and translations r are points of the ball.

    **All candidates at once.** The relation moves the candidate, so a distance seems to need one moved point for every
    pair. With :math:`x = \exp_0(R_r \log_0 h)`, and as translating from the left by :math:`\ominus t` keeps
    distances, :math:`d(x, t \oplus r) = d(\ominus t \oplus x, r)`; inserting
    :math:`|\ominus t \oplus x|^2 = |x - t|^2 / D` and :math:`D = 1 - 2c\,x{\cdot}t + c^2 |x|^2 |t|^2` into
    :math:`\sinh^2(\sqrt c\, d / 2) = c|z - r|^2 / ((1 - c|z|^2)(1 - c|r|^2))` cancels D:

    .. math::
        \sinh^2\tfrac{\sqrt c\, d}{2} = c\; \frac{|x - t|^2 + 2 (1 - 2c\,x{\cdot}t + c|x|^2)\, r{\cdot}t
            - 2 (1 - c|t|^2)\, x{\cdot}r + D |r|^2}{(1 - c|x|^2)(1 - c|t|^2)(1 - c|r|^2)},

    which is one inner product of numbers of the query with :math:`(t, |t|^2, 1)`, less
    :math:`4c\,(x{\cdot}t)(r{\cdot}t)`: three matrix products and elementwise functions.

    Accuracy: the numerator rounds at the machine precision of 1, so the squared distance has an absolute error of
    about :math:`10^{-6} / ((1 - c|x|^2)(1 - c|t|^2)\, c)` in float32. ``max_norm`` bounds it.

    Args:
        num_nodes: N.
        num_relations: R.
        hidden_channels: d.
        sparse: row-sparse gradients of the entity tables.
        curvature: c, positive. Published: 1.
        max_norm: limit of :math:`\sqrt c |x|` for entities and translations (kept by :meth:`constrain`) and for moved
            heads, between 0 and 1; the default is a distance of 5.3 from the origin.

    Raises:
        ValueError: an option outside its range.
    """


class HyperbolicIsometry(HyperbolicIsometryScores, KGModel):
    r"""What RotH, RefH and AttH share (Chami et al., *Low-Dimensional Hyperbolic KG Embeddings*, ACL 2020).

    .. math::
        \mathrm{score}(h, r, t) = -d_{c_r}(q_r(h),\; \exp_0^{c_r}(t))^2 + b_h + b_t

    on the Poincaré ball of curvature :math:`-c_r`, learned for each relation. Entities, translations and contexts are
    vectors of the tangent space at the origin: plain parameters for plain optimizers.

    **All candidates at once.** A candidate depends on the relation through its distance from the origin only. With
    :math:`\tau = \sqrt{c_r} |t|`, half that distance, a the same for q, and
    :math:`\tilde q` its space coordinates on the hyperboloid (of length :math:`\sinh 2a`),

    .. math::
        \sinh^2\tfrac{\sqrt{c_r}\, d}{2} = \sinh^2(a - \tau)
            + \sqrt{c_r}\, \frac{\sinh 2\tau}{2\tau}\, (|\tilde q| |t| - \tilde q \cdot t),

    one matrix product and elementwise functions. The sum has no cancellation but in the last bracket, where it is that
    of an angle: in float32 the squared distance of points at distances D and E from the origin has an absolute error
    of about :math:`10^{-7} \sinh D \sinh E / c_r`. Points farther than 12 (in units of
    :math:`1/\sqrt{c_r}`) from the origin count as lying at 12, about where the published code, in double precision,
    has the edge of its ball.

    A subclass says in ``moved`` where a head goes.

    Args:
        num_nodes: N.
        num_relations: R.
        hidden_channels: d, even.
        sparse: row-sparse gradients of the entity tables.
        curvature: what every relation starts from, above 1e-6. The published code starts from softplus(1) = 1.313.

    Raises:
        ValueError: an odd d, or an option outside its range.
    """


class RotH(RotHScores, HyperbolicIsometry):
    r"""RotH (Chami et al., ACL 2020): heads are translated, rotated and translated again.

    .. math:: q_r(h) = \mathrm{Rot}(\Theta_r) (\exp_0 h \oplus \exp_0 r_1) \oplus \exp_0 r_2

    with rotations of the d/2 planes of neighbouring coordinates. The paper's formula has the second translation only;
    the authors' code has both, and its results are the published ones. See :class:`HyperbolicIsometry` for the rest.
    """


class RefH(RefHScores, HyperbolicIsometry):
    r"""RefH (Chami et al., ACL 2020): heads are reflected and translated.

    .. math:: q_r(h) = \exp_0(\mathrm{Ref}(\Phi_r) h) \oplus \exp_0 r

    with reflections of the d/2 planes of neighbouring coordinates, as in the paper. (The authors' code takes the first
    coordinate of a pair twice, which is no reflection.) See :class:`HyperbolicIsometry` for the rest.
    """


class AttH(AttHScores, HyperbolicIsometry):
    r"""AttH (Chami et al., ACL 2020): attention between a rotated and a reflected head, then a translation.

    .. math::
        q_r(h) = \exp_0(\alpha_1 x_1 + \alpha_2 x_2) \oplus \exp_0 r, \quad
        x_1 = \mathrm{Ref}(\Phi_r) h, \; x_2 = \mathrm{Rot}(\Theta_r) h, \quad
        \alpha = \mathrm{softmax}(a_r \cdot x_i / \sqrt d)

    in the tangent space at the origin, with a context :math:`a_r` for each relation. The factor
    :math:`1 / \sqrt d` is in the authors' code, not in the paper. See :class:`HyperbolicIsometry` for the rest.
    """
