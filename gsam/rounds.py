"""Training in rounds of some steps and a validation, which is how few-shot methods and node classifiers are trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gsam.checkpoints import Checkpoints, failing_well
from gsam.distributed import Ranks, average_statistics
from gsam.evaluation import NonFiniteError
from gsam.optim import StepGuard

_H = TypeVar("_H", bound="RoundHistory")


class RoundHistory:
    """What every history of rounds knows of itself. A subclass is a dataclass with an entry for each round.

    Attributes:
        unit: what is counted, and the name of the field that has the counts.
        measure: the name of the field with the validation scores; larger ones are better.
    """

    unit: ClassVar[str]
    measure: ClassVar[str]
    seconds: list[float]
    loss: list[float]
    skipped_steps: int

    @property
    def best(self) -> int:
        """Position of the first best validation."""
        scores = self._scores
        return max(range(len(scores)), key=lambda i: (scores[i], -i))

    @property
    def trained(self) -> int:
        """What the last validation had been trained on, in the unit of the history."""
        return self._counts[-1] if self._counts else 0

    @property
    def waited(self) -> int:
        """Validations since the best one."""
        return len(self._counts) - 1 - self.best if self._counts else 0

    @property
    def _counts(self) -> list[int]:
        counts: list[int] = getattr(self, self.unit)
        return counts

    @property
    def _scores(self) -> list[float]:
        scores: list[float] = getattr(self, self.measure)
        return scores

    def add(self, count: int, seconds: float, losses: Tensor, score: float, skipped_steps: int) -> None:
        """Add a round.

        Args:
            count: what has been trained on so far.
            seconds: the training took in this round.
            losses: of its steps ``[S]``; those that are not finite, as their steps were skipped, do not count.
            score: of the validation.
            skipped_steps: so far.

        Raises:
            NonFiniteError: no loss is finite.
        """
        finite = losses[losses.isfinite()]
        if not finite.numel():
            raise NonFiniteError(
                f"expected a finite loss, found none in {len(losses)} steps up to {self.unit} {count}; lower --lr"
            )
        self._counts.append(count)
        self.seconds.append(seconds + (self.seconds[-1] if self.seconds else 0.0))
        self.loss.append(float(finite.mean()))
        self._scores.append(score)
        self.skipped_steps = skipped_steps


class RoundSchedule(Protocol):
    """How long to train and when to look, in the unit of the history."""

    @property
    def total(self) -> int:
        """At most."""

    @property
    def validate_every(self) -> int:
        """Length of a round."""

    @property
    def patience(self) -> int:
        """Validations without improvement after which training stops."""

    def steps(self, count: int, /) -> int:
        """Optimizer steps that so much makes."""


def train_in_rounds(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history_of: Callable[..., _H],
    schedule: RoundSchedule,
    guard: StepGuard,
    *,
    steps: Callable[[int, int], tuple[list[Tensor], float]],
    score: Callable[[], float],
    checkpoints: Checkpoints | None,
    on_validation: Callable[[_H], Any] | None,
    ranks: Ranks,
) -> _H:
    """Train, keep the weights of the best validation, stop when it no longer improves.

    Args:
        model: trained in place; on return it has the weights of the best validation and is in evaluation mode.
        optimizer: over its parameters.
        history_of: makes a history from its fields.
        schedule: how long.
        guard: that the steps are looked at by.
        steps: takes the steps of a round, from one count to another; returns their losses and the seconds they took.
        score: of the model on what it is validated by.
        checkpoints: where training goes on if it was stopped, and where it keeps its state after validations.
        on_validation: called with the history so far after each validation.
        ranks: the processes that train together.

    Raises:
        NonFiniteError: a score is not finite, or so are all losses of a round, or too many steps in a row, or all of
            them, were skipped. The model then has the weights of the best validation so far.
        CheckpointError: a checkpoint cannot be written, is damaged, or is of another training.
    """
    model.train()
    history, best = _begin(model, optimizer, history_of, checkpoints, ranks)
    guard.skipped = history.skipped_steps
    try:
        with failing_well(checkpoints, lambda: best):
            for start in range(history.trained, schedule.total, schedule.validate_every):
                stop = min(start + schedule.validate_every, schedule.total)
                losses, seconds = steps(start, stop)
                average_statistics(model, ranks)
                found = ranks.same(score())
                history.add(stop, ranks.same(seconds), ranks.mean(torch.stack(losses)), found, guard.skipped)
                if not history.waited:
                    best = copy.deepcopy(model.state_dict())
                if on_validation is not None:
                    on_validation(history)
                if history.waited >= schedule.patience:
                    break
                if checkpoints is not None and checkpoints.due:
                    checkpoints.save(model, optimizer, {"history": asdict(history), "best": best})  # type: ignore[call-overload]
            guard.check_any(schedule.steps(history.trained))
    finally:
        model.load_state_dict(best)
        model.eval()
    return history


def _begin(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history_of: Callable[..., _H],
    checkpoints: Checkpoints | None,
    ranks: Ranks,
) -> tuple[_H, dict[str, Tensor]]:
    """History and best weights so far: an empty one and the initial ones, or those of a checkpoint, which is restored.

    Each of several processes begins with random numbers of its own.
    """
    found = None if checkpoints is None else checkpoints.restore(model, optimizer)
    if found is None:
        ranks.draw_apart()
        return history_of(), copy.deepcopy(model.state_dict())
    return history_of(**found["history"]), found["best"]
