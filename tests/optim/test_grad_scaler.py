"""Mixed precision: ``torch.amp.GradScaler`` and the two passes. Scales are powers of two, so results are exact."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.contracts.optimizer_cases import BY_HAND, CASES, PASSES, Case, advance, named
from tests.optim.problems import Problem, equal

SCALE = 2.0**10


def scaler_of(**options: Any) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=SCALE, **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_step_equals_the_unscaled_one(case: Case, dtype: torch.dtype) -> None:
    scaled, plain = Problem(dtype=dtype), Problem(dtype=dtype)
    scaler = scaler_of(growth_interval=3)  # the scale doubles on the way
    opt = case.build(scaled.params, torch.optim.Adam, max_grad_norm=0.5)
    other = case.build(plain.params, torch.optim.Adam, max_grad_norm=0.5)
    for t in range(8):
        torch.manual_seed(t)
        loss = scaled.step(opt, peer=case.peer, scaler=scaler)
        scaler.update()
        torch.manual_seed(t)
        assert loss.item() == plain.step(other, peer=case.peer).item()
    assert scaler.get_scale() == 4 * SCALE
    assert opt.skipped_steps == 0
    if any(part in str(case) for part in ("adaptive", "asam", "fgsam+", "looksam")):  # products of gradients, rounded
        tolerance = 1e-12 if dtype == torch.float64 else 1e-4
        torch.testing.assert_close(scaled.params, plain.params, rtol=tolerance, atol=tolerance)
    else:
        assert equal(scaled.weights(), plain.weights())


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("case", [case for case in BY_HAND if case.scale_free], ids=str)
def test_by_hand(case: Case, unscale: bool, fused: bool) -> None:
    """The recipe of the class docstring, with or without clipping of the unscaled gradient."""
    scaled, plain = Problem(), Problem()
    scaler = scaler_of()
    opt = case.build(scaled.params, torch.optim.Adam, fused=fused)
    other = case.build(plain.params, torch.optim.Adam, fused=fused)
    climb, descend = (name == "gnn" for name in case.passes[0])
    for _ in range(4):
        opt.zero_grad()
        scaler.scale(scaled.loss(climb)).backward()
        with opt.perturbed():
            scaler.scale(scaled.loss(descend)).backward()
        other.zero_grad()
        plain.loss(climb).backward()
        with other.perturbed():
            plain.loss(descend).backward()
        if unscale:
            scaler.unscale_(opt)
            torch.nn.utils.clip_grad_norm_(scaled.params, 0.01)
            torch.nn.utils.clip_grad_norm_(plain.params, 0.01)
        scaler.step(opt)
        scaler.update()
        other.step()
    torch.testing.assert_close(scaled.params, plain.params, rtol=1e-12, atol=1e-12)
    assert opt.state[scaled.params[0]]["step"] == 4


@pytest.mark.parametrize(("case", "t", "number"), PASSES)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_overflow_in_a_pass(case: Case, t: int, number: int, value: float) -> None:
    """The weights and the state stay, the scale is halved, and the next step is taken."""
    problem = Problem()
    scaler = scaler_of()
    opt = case.build(problem.params, torch.optim.Adam)
    advance(case, problem, opt, t)
    before, state = problem.weights(), opt.state_dict()["state"]
    steps = {i: entry["step"].clone() for i, entry in state.items()}

    def overflow(done: int) -> None:
        if done == number:
            problem.params[1].grad[0] = value

    problem.after = overflow
    problem.step(opt, peer=case.peer, scaler=scaler)
    scaler.update()
    assert scaler.get_scale() == SCALE / 2
    assert opt.skipped_steps == 1
    assert equal(problem.weights(), before)
    assert equal({i: entry["step"] for i, entry in opt.state_dict()["state"].items()}, steps)
    problem.after = lambda _: None
    problem.step(opt, peer=case.peer, scaler=scaler)
    scaler.update()
    assert scaler.get_scale() == SCALE / 2
    assert not equal(problem.weights(), before)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("case", BY_HAND, ids=str)
def test_overflow_by_hand(case: Case, number: int) -> None:
    problem = Problem()
    scaler = scaler_of()
    opt = case.build(problem.params, torch.optim.Adam)
    climb, descend = (name == "gnn" for name in case.passes[0])
    before = problem.weights()
    for attempt in range(2):
        opt.zero_grad()
        scaler.scale(problem.loss(climb)).backward()
        if (attempt, number) == (0, 0):
            problem.params[1].grad[0] = math.inf
        with opt.perturbed():
            scaler.scale(problem.loss(descend)).backward()
            if (attempt, number) == (0, 1):
                problem.params[1].grad[0] = math.inf
        scaler.step(opt)
        scaler.update()
        assert scaler.get_scale() == SCALE / 2
        assert equal(problem.weights(), before) == (attempt == 0)
    assert opt.skipped_steps == (1 if number == 0 else 0)  # the scaler does not even call for the second pass


def test_descend_with_a_scaler() -> None:
    scaled, plain = Problem(), Problem()
    scaler = scaler_of()
    case = named("sam")
    opt, other = case.build(scaled.params), case.build(plain.params)
    scaler.scale(scaled.loss()).backward()
    with opt.perturbed():
        scaler.scale(scaled.loss()).backward()
    assert opt.descend(scaler)
    scaler.update()
    plain.step(other)
    assert equal(scaled.weights(), plain.weights())


def test_unscaling_twice_is_refused() -> None:
    """It would divide the gradient by the scale twice, and train on in silence with next to none."""
    problem = Problem()
    scaler = scaler_of()
    opt = named("sam").build(problem.params)
    before = problem.weights()
    scaler.scale(problem.loss()).backward()
    with opt.perturbed():
        scaler.scale(problem.loss()).backward()
    scaler.unscale_(opt)
    with pytest.raises(RuntimeError, match="already been called"):
        opt.descend(scaler)
    assert equal(problem.weights(), before)


@pytest.mark.parametrize(
    "case", [named(label) for label in ("sam", "fgsam", "fgsam+", "looksam", "ae-sam", "msam")], ids=str
)
def test_disabled_scaler(case: Case) -> None:
    scaled, plain = Problem(), Problem()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    opt, other = case.build(scaled.params), case.build(plain.params)
    for _ in range(3):
        scaled.step(opt, peer=case.peer, scaler=scaler)
        scaler.update()
        plain.step(other, peer=case.peer)
    assert equal(scaled.weights(), plain.weights())
