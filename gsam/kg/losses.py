"""Losses of a batch of triples from the scores of their true tails and of the negatives.

Every loss gives one number a triple, shape ``[B]``, so that optimizers which choose among samples can. Negatives that
do not count (true tails) hold :data:`VOID` in the score matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

#: the score of a candidate that is no negative: nothing against any score, yet finite, so that no gradient is NaN
VOID = -1e30
#: the losses that train a model, by name
LOSSES = ("bce", "softmax", "self-adversarial")


class LossFunction(Protocol):
    """A loss of scores, one number a triple ``[B]``."""

    def __call__(
        self, positive: Tensor, negative: Tensor, positions: Tensor, log_weight: float, own: Tensor | None = None
    ) -> Tensor:
        """The losses.

        Args:
            positive: scores of the true tails ``[B]``.
            negative: scores of the candidates ``[B, n]``.
            positions: flat positions in ``negative`` that are void.
            log_weight: log of the number of entities that a candidate stands for.
            own: scores of the heads as one more candidate, which stands for itself ``[B]``, some of them void.
        """


def void(scores: Tensor, positions: Tensor) -> Tensor:
    """Scores ``[B, n]`` with :data:`VOID` at flat ``positions`` ``[P]``, which then get no gradient."""
    return scores.flatten().index_fill(0, positions, VOID).view_as(scores)


def bce(positive: Tensor, negative: Tensor, *, weight: float, count: float) -> Tensor:
    r"""Binary cross entropy with the negatives counted as ``weight`` of them.

    .. math::
        \mathrm{softplus}(-s_+) + \frac{w}{k} \sum_{j=1}^{k} \mathrm{softplus}(s_j)

    With :math:`w = k` this is the sum over the negatives, as HyboNet's code has it (Chen et al., ACL 2022); the weight
    does not change when more negatives are drawn.

    Args:
        positive: scores of the true tails ``[B]``.
        negative: scores of the negatives ``[B, n]``.
        weight: effective number w of negatives.
        count: number k of negatives drawn, void ones included.

    Returns:
        One loss a triple ``[B]``.
    """
    return F.softplus(-positive) + F.softplus(negative).sum(1) * (weight / count)


def self_adversarial(positive: Tensor, negative: Tensor, *, weight: float, temperature: float) -> Tensor:
    r"""Binary cross entropy with the negatives weighted by their own scores (Sun et al., *RotatE*, ICLR 2019).

    .. math::
        \mathrm{softplus}(-s_+) + w \sum_j p_j\, \mathrm{softplus}(s_j), \qquad
        p_j = \frac{e^{\alpha s_j}}{\sum_i e^{\alpha s_i}}

    without a gradient through :math:`p`. The paper has ``weight`` 1 (and half of the whole). At temperature 0 every
    negative that is not void weighs the same.

    Args:
        positive: scores of the true tails ``[B]``.
        negative: scores of the negatives ``[B, n]``.
        weight: of the negatives together, w.
        temperature: :math:`\alpha \ge 0`.

    Returns:
        One loss a triple ``[B]``.
    """
    scores = negative.detach()
    logits = torch.where(scores > VOID / 2, temperature * scores, VOID)
    return F.softplus(-positive) + weight * (logits.softmax(1) * F.softplus(negative)).sum(1)


def softmax(positive: Tensor, negative: Tensor, *, log_weight: float = 0.0, smoothing: float = 0.0) -> Tensor:
    r"""Cross entropy of the true tail against the negatives, each of which stands for several entities.

    .. math::
        -(1 - \epsilon)\, s_+ - \epsilon\, \bar{s} + \log\Bigl(e^{s_+} + c \sum_j e^{s_j}\Bigr)

    with :math:`\log c` the ``log_weight`` and :math:`\bar{s}` the mean score over the candidates. For k negatives drawn
    uniformly from N entities :math:`c = N / k` makes the sum an unbiased estimate of the sum over all entities but the
    void ones, and all entities as negatives give the 1-vs-all loss.

    Args:
        positive: scores of the true tails ``[B]``.
        negative: scores of the negatives ``[B, n]``.
        log_weight: :math:`\log c`.
        smoothing: label smoothing :math:`\epsilon` in [0, 1), spread over the candidates.

    Returns:
        One loss a triple ``[B]``.
    """
    # shifting the one column in place of the many changes nothing, and one fused kernel does the rest
    logits = torch.cat([(positive - log_weight).unsqueeze(1), negative], 1)
    losses = F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long), reduction="none")
    if not smoothing:
        return losses
    return losses + smoothing * (positive - _candidate_mean(positive, negative, log_weight))


def _candidate_mean(positive: Tensor, negative: Tensor, log_weight: float) -> Tensor:
    """Mean score ``[B]`` over the true tail and the entities that the negatives stand for."""
    counts, weight = negative.detach() > VOID / 2, math.exp(log_weight)
    total = positive + weight * torch.where(counts, negative, 0.0).sum(1)
    return total / (1 + weight * counts.sum(1))


def n3(factors: tuple[Tensor, ...]) -> Tensor:
    r"""The nuclear 3-norm penalty of each triple, :math:`\sum_m \sum_i |x_{mi}|^3` over its factors.

    Lacroix et al., *Canonical Tensor Decomposition for Knowledge Base Completion*, ICML 2018; a sum over the factors,
    as in the code published with it.

    Args:
        factors: moduli of the embeddings of head, relation and tail, each ``[B, d]``.

    Returns:
        One penalty a triple ``[B]``.
    """
    return torch.stack([factor.abs().pow(3).sum(1) for factor in factors]).sum(0)


@dataclass(frozen=True)
class LossOptions:
    """Which loss, and its settings; those of other losses are refused, as they would do nothing.

    Attributes:
        name: one of :data:`LOSSES`.
        negative_weight: effective number of negatives of ``bce`` (default 50, the published number) and weight of the
            negatives of ``self-adversarial`` (default 1).
        margin: added to all scores by ``bce`` and ``self-adversarial``, default 0; models whose scores are distances
            and that have no margin or bias of their own (TransE) need one.
        temperature: of ``self-adversarial``, default 1.
        smoothing: label smoothing of ``softmax``, default 0.
        scale: what ``softmax`` multiplies all scores with, default 1.
        n3: weight of the N3 penalty, beside any loss; 0 for none.
    """

    name: str = "bce"
    negative_weight: float | None = None
    margin: float | None = None
    temperature: float | None = None
    smoothing: float | None = None
    scale: float | None = None
    n3: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"expected a loss among {', '.join(LOSSES)}, found {self.name!r}")
        for field, defaults in _DEFAULTS.items():
            value = getattr(self, field)
            if value is not None and self.name not in defaults:
                raise ValueError(f"expected {field} with the loss {' or '.join(defaults)} only, found {self.name}")
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"expected a finite {field} >= 0, found {value}")
        if self.smoothing is not None and self.smoothing >= 1:
            raise ValueError(f"expected smoothing in [0, 1), found {self.smoothing}")
        if self.scale == 0:
            raise ValueError("expected scale > 0, found 0")
        if not 0 <= self.n3 < math.inf:
            raise ValueError(f"expected a finite n3 >= 0, found {self.n3}")

    @property
    def in_force(self) -> dict[str, float]:
        """The settings of this loss, with defaults for what was not chosen."""
        found = {"n3": self.n3}
        for field, defaults in _DEFAULTS.items():
            if self.name in defaults:
                value = getattr(self, field)
                found[field] = defaults[self.name] if value is None else value
        return found

    def function(self, count: float) -> LossFunction:
        """The loss as a function of scores.

        Args:
            count: negatives drawn for each triple.
        """
        formula, options = self._formula(count), self.in_force
        scale, shift = options.get("scale", 1.0), options.get("margin", 0.0)
        counted = self.name == "softmax"  # where a negative stands for several entities, and the own head for one

        def losses(
            positive: Tensor, negative: Tensor, positions: Tensor, log_weight: float, own: Tensor | None = None
        ) -> Tensor:
            negative = void(_affine(negative, scale, shift), positions)
            if own is not None:
                column = torch.where(own > VOID / 2, _affine(own, scale, shift) - log_weight * counted, VOID)
                negative = torch.cat([negative, column.unsqueeze(1)], 1)
            return formula(_affine(positive, scale, shift), negative, log_weight)

        return losses

    def _formula(self, count: float) -> Callable[[Tensor, Tensor, float], Tensor]:
        options = self.in_force
        if self.name == "softmax":
            return lambda p, n, log_weight: softmax(p, n, log_weight=log_weight, smoothing=options["smoothing"])
        weight = options["negative_weight"]
        if self.name == "bce":
            return lambda p, n, _: bce(p, n, weight=weight, count=count)
        return lambda p, n, _: self_adversarial(p, n, weight=weight, temperature=options["temperature"])


def _affine(scores: Tensor, scale: float, shift: float) -> Tensor:
    """``scale * scores + shift``, without a pass over the scores where it changes nothing."""
    scores = scores if scale == 1 else scores * scale
    return scores if shift == 0 else scores + shift


_DEFAULTS: dict[str, dict[str, float]] = {
    "negative_weight": {"bce": 50.0, "self-adversarial": 1.0},
    "margin": {"bce": 0.0, "self-adversarial": 0.0},
    "temperature": {"self-adversarial": 1.0},
    "smoothing": {"softmax": 0.0},
    "scale": {"softmax": 1.0},
}
