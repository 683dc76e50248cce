"""What node features alone say: the line that every graph model has to beat."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gsam.nodes.scoring import metric_name, score

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset
    from gsam.nodes.splits import NodeSplit

INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_NEVER = -1e30


def features_only(dataset: NodeDataset, split: NodeSplit) -> float:
    """Test score, in percent, of logistic regression on the features of the training nodes; it sees no edge.

    Each feature is divided by its largest absolute value among the training nodes; scikit-learn's ``C`` is that of
    ``INVERSE_PENALTIES`` with the best validation score, the first of equals.

    Args:
        dataset: the data.
        split: on the CPU.
    """
    import threadpoolctl  # type: ignore[import-untyped]  # scikit-learn's own dependency
    from sklearn.preprocessing import MaxAbsScaler

    features, labels = dataset.features.in_memory().to_scipy(), dataset.labels
    scaler = MaxAbsScaler().fit(features[split.train.numpy()])
    train, val, test = (scaler.transform(features[part.numpy()]) for part in (split.train, split.val, split.test))
    best = (-1.0, 0.0)
    with threadpoolctl.threadpool_limits(torch.get_num_threads()):
        for penalty in INVERSE_PENALTIES:
            model = _fitted(train, labels[split.train], penalty)
            chosen = _score(model, val, labels[split.val], dataset.num_classes)
            if chosen > best[0]:
                best = (chosen, _score(model, test, labels[split.test], dataset.num_classes))
    return best[1]


def _fitted(rows: Any, labels: Tensor, inverse_penalty: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what it has reached by then is chosen on validation
        return LogisticRegression(C=inverse_penalty, max_iter=500).fit(rows, labels.numpy())


def _score(model: Any, rows: Any, labels: Tensor, classes: int) -> float:
    found = model.predict_log_proba(rows)
    logits = np.full((found.shape[0], classes), _NEVER)  # a class without a training node is not predicted
    logits[:, model.classes_] = np.maximum(found, _NEVER)  # the logarithm of 0 is minus infinity
    return score(torch.from_numpy(logits), labels, metric_name(classes))
