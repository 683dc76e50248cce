"""Training that dies after a checkpoint, again and again, until it ends; what it ends with is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gsam.checkpoints import Checkpoints
from gsam.distributed import ALONE, Ranks

TIMES = {"seconds", "epoch_seconds", "eval_seconds"}


class Killed(Exception):
    """Stands in for the signal."""


class Dying(Checkpoints):
    """Raises after so many checkpoints."""

    def __init__(self, folder: Path, lives: int, ranks: Ranks = ALONE, **options: Any) -> None:
        super().__init__(folder, every=0, ranks=ranks, **options)
        self.lives = lives

    def save(self, *args: Any) -> None:
        super().save(*args)
        self.lives -= 1
        if not self.lives:
            raise Killed


Train = Callable[[Checkpoints | None], tuple[nn.Module, Any]]


def killed_until_done(train: Train, folder: Path, lives: int) -> tuple[nn.Module, Any, int]:
    """Model and history of a training that dies after every ``lives`` checkpoints, and how often it died."""
    deaths = 0
    while True:
        torch.manual_seed(1000 + deaths)  # a new process has other random numbers
        try:
            model, history = train(Dying(folder, lives))
        except Killed:
            deaths += 1
        else:
            return model, history, deaths


def assert_resumes(train: Train, folder: Path, lives: int, least_deaths: int = 2) -> None:
    """``train``, which builds model and optimizer anew, ends the same whether it is disturbed or not."""
    model, history = train(None)
    other, its, deaths = killed_until_done(train, folder, lives)
    assert deaths >= least_deaths
    expected, found = model.state_dict(), other.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert without_times(its) == without_times(history)


def without_times(history: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(history).items() if name not in TIMES}
