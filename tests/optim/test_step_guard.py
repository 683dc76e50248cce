from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gsam.evaluation import NonFiniteError
from gsam.optim import SAM, RiemannianAdam, StepGuard, TooManySkippedError

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "radam": lambda p: RiemannianAdam(p, lr=0.1, weight_decay=0.1),
    "sam": lambda p: SAM(p, torch.optim.Adam, lr=0.1, weight_decay=0.1),
}


class Problem:
    """Steps of a small model whose loss or one gradient can be spoilt."""

    def __init__(self, name: str, limit: int | None = 100, sparse: bool = False) -> None:
        torch.manual_seed(0)
        self.model = nn.Embedding(6, 2, sparse=True) if sparse else nn.Linear(3, 2)
        self.optimizer = OPTIMIZERS[name](self.model.parameters())
        self.guard = StepGuard(self.model, self.optimizer, limit)
        self.rows = torch.tensor([1, 1, 4]) if sparse else torch.randn(5, 3)

    def step(self, loss_factor: float = 1.0, grad_factor: float = 1.0) -> torch.Tensor:
        def closure() -> torch.Tensor:
            self.optimizer.zero_grad()
            loss = self.model(self.rows).square().mean() * loss_factor
            loss.backward()
            last = list(self.model.parameters())[-1]
            last.grad = last.grad * grad_factor
            return loss.detach()

        found = self.optimizer.step(self.guard.closure(closure))
        self.guard.check()
        return found

    def state(self) -> Any:
        return copy.deepcopy([self.model.state_dict(), self.optimizer.state_dict()["state"]])


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("spoil", [{"loss_factor": float("inf")}, {"grad_factor": float("nan")}])
def test_a_bad_step_changes_nothing_and_is_counted(name: str, spoil: dict[str, float]) -> None:
    problem = Problem(name)
    problem.step()
    before = problem.state()
    problem.step(**spoil)
    assert equal(problem.state(), before)
    assert problem.guard.skipped == 1
    problem.step()
    assert not equal(problem.state(), before)
    assert problem.guard.skipped == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_good_steps_are_what_they_are_without_a_guard(name: str) -> None:
    guarded, plain = Problem(name), Problem(name)
    plain.guard.closure = lambda closure: closure  # type: ignore[method-assign]
    for _ in range(3):
        assert torch.equal(guarded.step(), plain.step())
    assert equal(guarded.state(), plain.state())


def test_an_infinite_loss_with_finite_gradients_is_skipped() -> None:
    problem = Problem("adam")
    before = problem.state()

    def closure() -> float:
        problem.optimizer.zero_grad()
        problem.model(problem.rows).sum().backward()
        return float("inf")

    problem.optimizer.step(problem.guard.closure(closure))
    assert equal(problem.state(), before)


@pytest.mark.parametrize("factor", [float("nan"), 1.0])
def test_row_sparse_gradients(factor: float) -> None:
    problem = Problem("radam", sparse=True)
    problem.optimizer = RiemannianAdam(problem.model.parameters(), lr=0.1)
    problem.guard = StepGuard(problem.model, problem.optimizer)
    before = problem.model.weight.detach().clone()
    problem.step(grad_factor=factor)
    moved = (problem.model.weight != before).any(1)
    assert moved.tolist() == ([False] * 6 if factor != 1.0 else [False, True, False, False, True, False])


@pytest.mark.parametrize("name", ["adam", "sam"])
def test_too_many_in_a_row_stop_and_name_the_parameter(name: str) -> None:
    problem = Problem(name, limit=3)
    for _ in range(2):  # two bad ones, then a good one, do not count as three
        problem.step(grad_factor=float("nan"))
        problem.step(grad_factor=float("nan"))
        problem.step()
    problem.step(grad_factor=float("nan"))
    problem.step(grad_factor=float("nan"))
    words = "finite gradients, found none in 3 steps in a row, the last time not in the gradient of bias; lower the"
    with pytest.raises(TooManySkippedError, match=words):
        problem.step(grad_factor=float("nan"))
    assert problem.guard.skipped == 7


def test_no_limit_and_a_limit_that_makes_no_sense() -> None:
    problem = Problem("adam", limit=None)
    for _ in range(200):
        problem.step(grad_factor=float("nan"))
    assert problem.guard.skipped == 200
    with pytest.raises(ValueError, match="at least 1 skipped step"):
        Problem("adam", limit=0)


@pytest.mark.parametrize("name", ["adam", "sam"])
def test_counting_goes_on(name: str) -> None:
    problem = Problem(name)
    problem.step(grad_factor=float("nan"))
    if name == "sam":
        other = Problem(name)
        other.optimizer.load_state_dict(problem.optimizer.state_dict())
    else:
        other = Problem(name)
    other.guard.skipped = 1
    assert other.guard.skipped == 1
    other.step(grad_factor=float("nan"))
    assert other.guard.skipped == 2


def test_what_an_optimizer_skipped_before_does_not_count() -> None:
    problem = Problem("sam")
    problem.step(grad_factor=float("nan"))
    later = StepGuard(problem.model, problem.optimizer, limit=2)
    assert later.skipped == 0
    problem.guard = later
    problem.step(grad_factor=float("nan"))
    problem.step()
    assert later.skipped == 1
    later.check_any(2)
    with pytest.raises(NonFiniteError, match="none in any step"):
        later.check_any(1)
