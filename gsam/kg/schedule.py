"""How long a model is trained, how the learning rate goes, and when validation looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gsam.optim.checks import check_max_grad_norm

LEARNING_RATES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class TrainingSchedule:
    """How long to train and when to look.

    Attributes:
        epochs: passes over the training triples at most.
        validate_every: epochs between two validations; the last epoch is always validated.
        patience: validations without improvement after which training stops.
        max_seconds: training stops after the epoch in which this much time has gone into training, validations
            excluded; ``None`` for no limit.
        learning_rate: after the warm-up ``"constant"``, or down to 0 on a ``"linear"`` or ``"cosine"`` line.
        warmup_steps: steps in which the learning rate grows from 0.
        average: decay of a running average of the weights, 0 for none: validation, test and the weights that are kept
            are then the average's.
        max_grad_norm: clip the gradient that a step descends with to this norm, the Euclidean one as in the published
            codes, with Riemannian and Lorentz SAM the Riemannian one; ``None`` for no clipping.
        max_skipped: steps skipped in a row, because a gradient was not finite, after which training fails.
    """

    epochs: int = 100
    validate_every: int = 5
    patience: int = 20
    max_seconds: float | None = None
    learning_rate: str = "constant"
    warmup_steps: int = 0
    average: float = 0.0
    max_grad_norm: float | None = None
    max_skipped: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "validate_every", "patience", "max_skipped"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")
        if self.max_seconds is not None and not 0 < self.max_seconds < math.inf:
            raise ValueError(f"expected a finite max_seconds > 0, found {self.max_seconds}")
        if self.learning_rate not in LEARNING_RATES:
            raise ValueError(f"expected a schedule among {', '.join(LEARNING_RATES)}, found {self.learning_rate!r}")
        if self.warmup_steps < 0:
            raise ValueError(f"expected warmup_steps >= 0, found {self.warmup_steps}")
        if not 0 <= self.average < 1:
            raise ValueError(f"expected average in [0, 1), found {self.average}")
        check_max_grad_norm(self.max_grad_norm)

    def factor(self, step: int, total: int, seconds: float = 0.0) -> float:
        """What the learning rate of a step is multiplied with.

        Args:
            step: number of the step, from 0.
            total: steps of all epochs.
            seconds: training time so far. With ``max_seconds`` the line comes down by time where time is ahead of the
                epochs, so that it ends at 0 whichever limit ends the training.
        """
        progress = step / total
        if self.max_seconds is not None:
            progress = min(1.0, max(progress, seconds / self.max_seconds))
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.learning_rate == "linear":
            return rise * (1 - progress)
        if self.learning_rate == "cosine":
            return rise * (1 + math.cos(math.pi * progress)) / 2
        return rise
