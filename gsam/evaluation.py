"""What every room that scores models shares: evaluation mode, scores that are no numbers, intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class NonFiniteError(ArithmeticError):
    """Scores that are NaN or infinite, which no figure can be made of."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; the mode is put back afterwards."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def mean_ci95(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and half-width of its 95 % interval (Student's t); ``None`` for a single value, which has no interval."""
    import numpy as np
    from scipy import stats

    count = len(values)
    if not count:
        raise ValueError("expected at least one value, found none")
    if count < 2:
        return float(np.mean(values)), None
    spread = float(np.std(values, ddof=1)) / math.sqrt(count)
    return float(np.mean(values)), float(stats.t.ppf(0.975, count - 1)) * spread
