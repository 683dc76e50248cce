"""How well logits tell classes apart: accuracy, or the area under the ROC curve for two classes."""

from __future__ import annotations

import torch
from torch import Tensor

from gsam.evaluation import NonFiniteError


def metric_name(classes: int) -> str:
    """``"roc_auc"`` for two classes, which the data sets with two have so unevenly, else ``"accuracy"``."""
    return "roc_auc" if classes == 2 else "accuracy"


def score(logits: Tensor, labels: Tensor, metric: str) -> float:
    """The score in percent.

    Args:
        logits: ``[B, C]``, C = 2 for ``"roc_auc"``.
        labels: ``[B]`` in 0..C-1.
        metric: ``"accuracy"`` or ``"roc_auc"``.

    Raises:
        NonFiniteError: a logit is NaN or infinite.
        ValueError: there is nothing to score, or only one class for ``"roc_auc"``.
    """
    if not labels.numel():
        raise ValueError("expected at least one node to score, found none")
    if not torch.isfinite(logits).all():
        raise NonFiniteError("expected finite logits, found NaN or infinity; lower --lr")
    if metric == "roc_auc":
        return 100.0 * roc_auc(logits[:, 1] - logits[:, 0], labels)
    return 100.0 * float((logits.argmax(1) == labels).double().mean())


def roc_auc(values: Tensor, labels: Tensor) -> float:
    r"""The share of pairs (positive, negative) in which the positive has the higher value; a tie counts one half.

    .. math:: \mathrm{AUC} = \frac{\sum_{y_i = 1} r_i - P (P + 1) / 2}{P \, (B - P)}

    with the ranks :math:`r_i` of all values, ties sharing their mean rank, and P positives among B (Hanley and McNeil,
    Radiology 1982).

    Args:
        values: ``[B]``, higher for class 1.
        labels: ``[B]`` in {0, 1}.

    Raises:
        ValueError: one of the two classes is missing.
    """
    from scipy.stats import rankdata

    positive = (labels == 1).cpu().numpy()
    count = int(positive.sum())
    negatives = positive.size - count
    if not count or not negatives:
        raise ValueError(f"expected both classes, found {count} of class 1 and {negatives} of class 0")
    ranks = rankdata(values.detach().cpu().numpy())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * negatives))
