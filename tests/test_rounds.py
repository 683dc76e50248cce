from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from gsam.checkpoints import Checkpoints
from gsam.distributed import ALONE
from gsam.evaluation import NonFiniteError
from gsam.optim import StepGuard
from gsam.rounds import RoundHistory, train_in_rounds


@dataclass
class Laps(RoundHistory):
    unit: ClassVar[str] = "lap"
    measure: ClassVar[str] = "points"
    lap: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    skipped_steps: int = 0


@dataclass(frozen=True)
class LapSchedule:
    total: int = 11
    validate_every: int = 3
    patience: int = 2

    def steps(self, count: int) -> int:
        return count


class Counter:
    """A model of one weight that counts its steps, each of which has the number of the step as its loss."""

    def __init__(self, scores: list[float], losses: list[float] | None = None) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters())
        self.scores, self.losses, self.stretches, self.seen = scores, losses, list[tuple[int, int]](), list[Laps]()

    def steps(self, start: int, stop: int) -> tuple[list[Tensor], float]:
        assert self.model.training
        self.stretches.append((start, stop))
        with torch.no_grad():
            self.model.weight.add_(stop - start)
        found = range(start + 1, stop + 1) if self.losses is None else self.losses[start:stop]
        return [torch.tensor(float(loss)) for loss in found], 0.5

    def run(self, schedule: LapSchedule, checkpoints: Checkpoints | None = None) -> Laps:
        options: dict[str, Any] = {"checkpoints": checkpoints, "on_validation": self.seen.append, "ranks": ALONE}
        guard = StepGuard(self.model, self.optimizer)
        score = iter(self.scores)
        return train_in_rounds(
            self.model, self.optimizer, Laps, schedule, guard, steps=self.steps, score=lambda: next(score), **options
        )


def test_rounds_and_the_best_of_them() -> None:
    counter = Counter([50, 70, 60, 70])
    found = counter.run(LapSchedule(patience=3))
    assert counter.stretches == [(0, 3), (3, 6), (6, 9), (9, 11)]
    assert found == Laps([3, 6, 9, 11], [0.5, 1.0, 1.5, 2.0], [2.0, 5.0, 8.0, 10.5], [50, 70, 60, 70])
    assert (found.best, found.waited, found.trained) == (1, 2, 11)  # a tie is no improvement
    assert counter.model.weight.item() == 6
    assert not counter.model.training
    assert counter.seen == [found] * 4


def test_it_stops_when_nothing_improves() -> None:
    counter = Counter([50, 40, 45, 99])
    assert counter.run(LapSchedule()).lap == [3, 6, 9]
    assert counter.model.weight.item() == 3


def test_losses_of_skipped_steps_do_not_count() -> None:
    losses = [1.0, math.nan, 3.0, *[math.inf] * 3]
    counter = Counter([50, 60], losses)
    with pytest.raises(NonFiniteError, match="found none in 3 steps up to lap 6; lower --lr"):
        counter.run(LapSchedule())
    assert counter.seen[0].loss == [2.0]
    assert counter.model.weight.item() == 3  # the best so far


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    class Stopping(Checkpoints):
        def save(self, *args: Any) -> None:
            super().save(*args)
            if args[-1]["history"]["lap"][-1] == 6:
                raise Stopped

    with pytest.raises(Stopped):
        Counter([50, 70]).run(LapSchedule(), Stopping(tmp_path, every=0))
    again = Counter([60, 65])
    found = again.run(LapSchedule(), Checkpoints(tmp_path, every=0))
    assert again.stretches == [(6, 9), (9, 11)]
    assert found == Counter([50, 70, 60, 65]).run(LapSchedule())
    assert again.model.weight.item() == 6


def test_nothing_trained_yet() -> None:
    assert (Laps().trained, Laps().waited) == (0, 0)
