"""Meta-training that dies and goes on, or that has to be given up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gsam.checkpoints import Checkpoints
from gsam.fewshot import FewShotMethod, History, PreparedGraph, Schedule, meta_train, train_step, training
from gsam.optim import TooManySkippedError
from gsam.optim.recipes import RECIPES
from tests.fewshot.test_training import Spoilt, gpn, sampler
from tests.fewshot.toy import FEATURES
from tests.resume import assert_resumes, killed_until_done


@pytest.mark.parametrize("lives", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_dies_ends_as_if_it_had_not(
    graph: PreparedGraph, name: str, lives: int, tmp_path: Path
) -> None:
    recipe, validation = RECIPES[name], sampler(graph, (4, 5, 6), seed=1).take(4)
    schedule = Schedule(episodes=14, validate_every=2, patience=10)

    def train(checkpoints: Checkpoints | None) -> tuple[FewShotMethod, History]:
        method = gpn()
        optimizer = recipe.build(method.parameters(), lr=0.01, weight_decay=0.0, total_steps=14)
        torch.manual_seed(5 if checkpoints is None or not checkpoints.last.exists() else 77)
        history = meta_train(
            method, graph, optimizer, recipe, sampler(graph), validation, schedule=schedule, checkpoints=checkpoints
        )
        return method, history

    assert_resumes(train, tmp_path, lives)


def test_patience_goes_on_counting(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The best validation is the second; training stops after three more, however often it dies on the way."""
    calls: list[int] = []

    def train(checkpoints: Checkpoints | None) -> tuple[FewShotMethod, History]:
        method, recipe = gpn(), RECIPES["adam"]
        optimizer = recipe.build(method.parameters(), lr=0.01, total_steps=20)
        script = {2: 10.0, 4: 50.0}

        def counted(*args: Any) -> torch.Tensor:
            loss = train_step(*args)
            calls.append(1)
            return loss

        monkeypatch.setattr(training, "train_step", counted)
        monkeypatch.setattr(training, "evaluate_inputs", lambda *_: script.get(2 * (len(calls) // 2), 20.0))
        history = meta_train(
            method,
            graph,
            optimizer,
            recipe,
            sampler(graph),
            sampler(graph, (4, 5, 6), seed=1).take(4),
            schedule=Schedule(episodes=20, validate_every=2, patience=3),
            checkpoints=checkpoints,
        )
        return method, history

    _, history, deaths = killed_until_done(train, tmp_path, 1)
    assert history.episode == [2, 4, 6, 8, 10]
    assert deaths == 4
    assert len(calls) == 10


def test_too_many_skipped_steps_end_training_with_the_best_weights(graph: PreparedGraph, tmp_path: Path) -> None:
    torch.manual_seed(0)
    method, recipe = Spoilt(FEATURES, hidden=6), RECIPES["adam"]
    method.bad = tuple(range(4, 100))
    seen: list[dict[str, Tensor]] = []
    with pytest.raises(TooManySkippedError, match=r"none in 3 steps in a row, .*; the best weights so far are in .*"):
        meta_train(
            method,
            graph,
            recipe.build(method.parameters(), lr=0.01),
            recipe,
            sampler(graph),
            sampler(graph, (4, 5, 6), seed=1).take(4),
            schedule=Schedule(episodes=40, validate_every=4, max_skipped=3),
            checkpoints=Checkpoints(tmp_path),
            on_validation=lambda _: seen.append(copy.deepcopy(method.state_dict())),
        )
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    assert len(seen) == 1
    assert all(torch.equal(kept[name], value) for name, value in seen[0].items())
    assert all(torch.equal(method.state_dict()[name], value) for name, value in seen[0].items())
    assert not method.training
