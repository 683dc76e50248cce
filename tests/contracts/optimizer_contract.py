"""What every two-pass optimizer must do, whatever its variant: one table of cases, one suite of laws.

A new public subclass of ``SharpnessAware`` needs a case here (a test checks that it has one).
"""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn.norm import HeteroBatchNorm

from gsam.optim import ASAM, FGSAM, SAM, Adaptive, Euclidean, FGSAMPlus, SharpnessAware, held_statistics
from tests.optim.problems import Problem, equal, final_gradients, flat, moved

RHO = 0.3


@dataclass(frozen=True)
class Case:
    """One optimizer with its options, and the closures its steps call.

    Attributes:
        label: name of the case.
        kind: the class.
        options: beside ``rho`` and those of the base.
        peer: whether ``step`` takes a peer closure.
        passes: closures called in the successive steps (repeated).
        by_hand: whether ``perturbed()`` is offered.
    """

    label: str
    kind: type[SharpnessAware]
    options: Callable[[], dict[str, Any]] = field(default=dict)
    peer: bool = False
    passes: tuple[tuple[str, ...], ...] = (("gnn", "gnn"),)
    by_hand: bool = True

    def __str__(self) -> str:
        return self.label

    def build(self, params: Any, base: Any = torch.optim.SGD, **options: Any) -> SharpnessAware:
        if not isinstance(base, torch.optim.Optimizer):
            options.setdefault("lr", 0.1)
        return self.kind(params, base, **{"rho": RHO, **self.options(), **options})


_PLUS = (("gnn", "peer", "peer"), ("peer",))
CASES = [
    Case("core-euclidean", SharpnessAware, lambda: {"geometry": Euclidean()}),
    Case("core-adaptive", SharpnessAware, lambda: {"geometry": Adaptive(0.01)}),
    Case("sam", SAM),
    Case("sam-adaptive", SAM, lambda: {"adaptive": True}),
    Case("asam", ASAM, lambda: {"eta": 0.01}),
    Case("fgsam", FGSAM, peer=True, passes=(("gnn", "peer"),)),
    Case("fgsam-released", FGSAM, lambda: {"variant": "released", "lam": 0.3}, True, (("gnn", "peer"),)),
    Case("fgsam+", FGSAMPlus, lambda: {"k": 2}, peer=True, passes=_PLUS, by_hand=False),
    Case("fgsam+-released", FGSAMPlus, lambda: {"variant": "released", "k": 2}, True, _PLUS, False),
    Case("fgsam+-k1", FGSAMPlus, lambda: {"k": 1}, True, (("gnn", "peer"),), False),
    Case("fgsam+-k3", FGSAMPlus, lambda: {"k": 3, "lam": 0.5}, True, (*_PLUS, ("peer",)), False),
]
BY_HAND = [case for case in CASES if case.by_hand]
#: every pass of every distinct step, at first and once there is a state, as (case, steps taken before, number)
PASSES = [
    pytest.param(case, t, number, id=f"{case}-step{t}-pass{number}")
    for case in CASES
    for t in range(2 * len(case.passes))
    for number in range(len(case.passes[t % len(case.passes)]))
]
BASES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adam-fused": (torch.optim.Adam, {"lr": 0.01, "fused": True}),
    "adamw-amsgrad": (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    "sgd-momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "riemannian-adam": (geoopt.optim.RiemannianAdam, {"lr": 0.01}),
}


class RebindingNorm(nn.Module):
    """A norm that is no torch norm, counts its calls, and replaces its buffer instead of changing it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        self.calls += 1
        return x - x.mean(0)


class TypedNorm(nn.Module):
    """PyG's per-type batch norm, which is no torch ``_BatchNorm``."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = HeteroBatchNorm(8, num_types=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x, torch.arange(len(x)) % 2)


NORMS: dict[str, Callable[[], nn.Module]] = {
    "batch-norm": lambda: nn.BatchNorm1d(8),
    "cumulative": lambda: nn.BatchNorm1d(8, momentum=None),
    "hetero": TypedNorm,
    "rebinding": RebindingNorm,
}


def advance(case: Case, problem: Problem, opt: SharpnessAware, steps: int) -> None:
    for _ in range(steps):
        problem.step(opt, peer=case.peer)


def through_file(state: dict[str, Any]) -> dict[str, Any]:
    """Save and load as users do, with the safe unpickler."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def poison(problem: Problem, number: int, value: float) -> None:
    """Spoil one entry of one gradient in one pass."""

    def after(done: int) -> None:
        if done == number:
            problem.params[2].grad.view(-1)[1] = value

    problem.after = after


@pytest.mark.parametrize("case", CASES, ids=str)
class OptimizerContract:
    """The laws that hold for each case."""

    def test_one_closure_contract(self, case: Case) -> None:
        """The loss at the unperturbed weights is returned, and the closures are called as the case says."""
        problem = Problem()
        opt = case.build(problem.params)
        for t in range(2 * len(case.passes)):
            expected = problem.loss(graph=case.passes[t % len(case.passes)][0] == "gnn").item()
            assert problem.step(opt, peer=case.peer).item() == expected
            assert tuple(problem.calls) == case.passes[t % len(case.passes)]

    def test_rho_zero(self, case: Case) -> None:
        """With rho = 0 the geometry plays no role: the base for SAM, ``climb * g + descent * h`` for FGSAM."""
        problem, twin = Problem(dropout=0.5), Problem(dropout=0.5)
        opt, base = case.build(problem.params, rho=0.0), torch.optim.SGD(twin.params, lr=0.1)
        for _ in range(3 if len(case.passes) == 1 else 1):
            torch.manual_seed(1)
            problem.step(opt, peer=case.peer)
            torch.manual_seed(1)
            if case.peer:
                group = opt.param_groups[0]
                released = opt.variant == "released"
                climb, descent = (1 - group["lam"], group["lam"]) if released else (group["lam"], 1.0)
                g = twin.gradient()
                torch.manual_seed(1)
                for p, first, second in zip(twin.params, g, twin.gradient(graph=False), strict=True):
                    p.grad = climb * first + descent * second
                base.step()
            else:
                assert problem.calls == ["gnn"]
                twin.step(base)
            if case.peer:
                torch.testing.assert_close(problem.params, twin.params, rtol=1e-14, atol=1e-15)
            else:
                assert equal(problem.weights(), twin.weights())

    @pytest.mark.parametrize("base", BASES)
    def test_resume(self, case: Case, base: str) -> None:
        """10 + 10 steps with a save and a load in between equal 20 steps, bit for bit."""
        kind, options = BASES[base]
        straight, first = Problem(dropout=0.3), Problem(dropout=0.3)
        straight_opt, opt = case.build(straight.params, kind, **options), case.build(first.params, kind, **options)
        torch.manual_seed(3)
        advance(case, straight, straight_opt, 20)
        torch.manual_seed(3)
        advance(case, first, opt, 10)
        saved = through_file({"model": first.model.state_dict(), "opt": opt.state_dict()})
        generator = torch.get_rng_state()
        second = Problem(dropout=0.3)
        second.model.load_state_dict(saved["model"])
        opt = case.build(second.params, kind, **{**options, "lr": 9.0}, rho=9.0)  # what is loaded counts
        opt.load_state_dict(saved["opt"])
        torch.set_rng_state(generator)
        advance(case, second, opt, 10)
        if base == "riemannian-adam":  # geoopt's step count comes back as a float32 tensor, so do its bias corrections
            torch.testing.assert_close(second.params, straight.params, rtol=1e-4, atol=1e-6)
        else:
            assert equal(second.weights(), straight.weights())
            assert equal(opt.state_dict(), straight_opt.state_dict())

    def test_weights_come_back(self, case: Case) -> None:
        """At lr = 0 nothing changes: not a bit, not the storage; in between the weights did move."""
        problem = Problem()
        opt = case.build(problem.params, lr=0.0)
        before, storage = problem.weights(), [p.data_ptr() for p in problem.params]
        seen: list[list[Tensor]] = []
        problem.after = lambda _: seen.append(problem.weights())
        advance(case, problem, opt, 4)
        assert equal(problem.weights(), before)
        assert [p.data_ptr() for p in problem.params] == storage
        assert sum(not equal(weights, before) for weights in seen) == sum(
            len(case.passes[t % len(case.passes)]) > 1 for t in range(4)
        )

    def test_storage_is_kept_while_training(self, case: Case) -> None:
        problem = Problem()
        storage = [p.data_ptr() for p in problem.params]
        advance(case, problem, case.build(problem.params), 4)
        assert [p.data_ptr() for p in problem.params] == storage

    def test_copies(self, case: Case) -> None:
        """Pickled or deep-copied beside its model, it shares the copy's parameters and goes on alike."""
        for make in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
            problem, twin = Problem(), Problem()
            opt = case.build(problem.params, torch.optim.Adam, lr=0.01)
            torch.optim.lr_scheduler.StepLR(opt, 1)  # wraps opt.step in a closure
            advance(case, problem, opt, 3)
            twin.model, copied = make((problem.model, opt))
            assert type(copied) is type(opt)
            assert all(a is b for a, b in zip(copied.param_groups[0]["params"], twin.params, strict=True))
            assert copied.param_groups is copied.base.param_groups
            assert copied.state is copied.base.state
            advance(case, problem, opt, 3)
            advance(case, twin, copied, 3)
            assert equal(problem.weights(), twin.weights())
            assert equal(opt.state_dict()["state"], copied.state_dict()["state"])

    def test_scheduler(self, case: Case) -> None:
        """A scheduler sees the steps, and its learning rate is the one the base uses."""
        problem = Problem()
        opt = case.build(problem.params)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(2):
                advance(case, problem, opt, 1)
                scheduler.step()
        assert opt.base.param_groups[0]["lr"] == 0.025
        before, grads = problem.weights(), []
        final_gradients(opt, grads)
        advance(case, problem, opt, 1)
        torch.testing.assert_close(flat(problem.weights()), flat(before) - 0.025 * flat(grads[0]), rtol=0, atol=1e-16)

    def test_add_param_group(self, case: Case) -> None:
        """A group added later equals one that was there from the start."""
        late, early = Problem(), Problem()
        opt = case.build(late.params[:2])
        opt.add_param_group({"params": late.params[2:], "lr": 0.02, "rho": 0.1})
        other = case.build([{"params": early.params[:2]}, {"params": early.params[2:], "lr": 0.02, "rho": 0.1}])
        advance(case, late, opt, 4)
        advance(case, early, other, 4)
        assert equal(late.weights(), early.weights())
        assert equal(opt.state_dict(), other.state_dict())
        with pytest.raises(ValueError, match="rho"):
            opt.add_param_group({"params": [nn.Parameter(torch.ones(1))], "rho": -1.0})
        assert len(opt.param_groups) == 2

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    def test_dtype_is_kept(self, case: Case, dtype: torch.dtype) -> None:
        """The first step agrees with float64 to the precision of the dtype."""
        problem, exact = Problem(dtype=dtype), Problem()
        with torch.no_grad():
            for mine, theirs in zip(problem.params, exact.params, strict=True):
                theirs.copy_(mine)
            exact.x.copy_(problem.x)
            exact.adjacency.copy_(problem.adjacency)
        opt, reference = case.build(problem.params, lr=1.0), case.build(exact.params, lr=1.0)
        start = flat(exact.weights())
        advance(case, problem, opt, 1)
        advance(case, exact, reference, 1)
        assert {p.dtype for p in problem.params} == {dtype}
        error = (flat(problem.weights()).double() - flat(exact.weights())).norm()
        assert error < 20 * torch.finfo(dtype).eps * (flat(exact.weights()) - start).norm()

    @pytest.mark.parametrize("norm", NORMS)
    def test_running_statistics(self, case: Case, norm: str) -> None:
        """Each batch counts once, as the GNN sees it at the weights themselves."""
        problem, twin = Problem(norm=NORMS[norm]()), Problem(norm=NORMS[norm]())
        opt = case.build(problem.params, lr=0.0)
        before = problem.buffers()
        addresses = [b.data_ptr() for b in problem.model.buffers()]
        for t in range(2 * len(case.passes)):
            advance(case, problem, opt, 1)
            if case.passes[t % len(case.passes)][0] == "gnn":
                twin.loss()
            assert equal(problem.buffers(), twin.buffers())
        assert not equal(problem.buffers(), before)
        if norm != "rebinding":
            assert [b.data_ptr() for b in problem.model.buffers()] == addresses

    def test_dropout_is_replayed(self, case: Case) -> None:
        """All passes of a step see one mask, successive steps different ones."""
        problem = Problem(dropout=0.5)
        masks: list[Tensor] = []
        problem.model.dropout.register_forward_hook(lambda _m, _i, out: masks.append(out.detach() != 0))
        opt = case.build(problem.params)
        seen = []
        for t in range(2 * len(case.passes)):
            masks.clear()
            advance(case, problem, opt, 1)
            assert len(masks) == len(case.passes[t % len(case.passes)])
            assert all(torch.equal(mask, masks[0]) for mask in masks)
            seen.append(masks[0])
        assert not any(torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])

    def test_random_numbers_are_used_once(self, case: Case) -> None:
        """After a step the generator is where its first pass left it: SAM draws what its base would."""
        problem, twin = Problem(dropout=0.5), Problem(dropout=0.5)
        opt = case.build(problem.params)
        for t in range(2 * len(case.passes)):
            torch.manual_seed(t)
            twin.loss(graph=case.passes[t % len(case.passes)][0] == "gnn")
            reached = torch.get_rng_state()
            torch.manual_seed(t)
            advance(case, problem, opt, 1)
            assert torch.equal(torch.get_rng_state(), reached)

    def test_zero_grad_to_zero(self, case: Case) -> None:
        """``zero_grad(set_to_none=False)`` gives the same training."""
        none, zero = Problem(), Problem()
        zero.set_to_none = False
        advance(case, none, case.build(none.params), 6)
        advance(case, zero, case.build(zero.params), 6)
        assert equal(none.weights(), zero.weights())

    def test_max_grad_norm(self, case: Case) -> None:
        """The gradient that the base sees is the unclipped one, shortened to the bound."""
        free, bound = Problem(), Problem()
        opt, clipped = case.build(free.params, lr=0.0), case.build(bound.params, lr=0.0, max_grad_norm=0.01)
        expected: list[list[Tensor]] = []
        found: list[list[Tensor]] = []
        final_gradients(opt, expected)
        final_gradients(clipped, found)
        advance(case, free, opt, len(case.passes))
        advance(case, bound, clipped, len(case.passes))
        for whole, short in zip(expected, found, strict=True):
            assert flat(whole).norm() > 0.02
            torch.testing.assert_close(flat(short), 0.01 * flat(whole) / flat(whole).norm(), rtol=1e-12, atol=0)

    def test_hooks(self, case: Case) -> None:
        """Step hooks of the wrapper and of its base run once per step each."""
        problem = Problem()
        opt = case.build(problem.params)
        ran: list[str] = []
        opt.register_step_pre_hook(lambda *_: ran.append("before"))
        opt.base.register_step_pre_hook(lambda *_: ran.append("base"))
        opt.register_step_post_hook(lambda *_: ran.append("after"))
        advance(case, problem, opt, 2)
        assert ran == ["before", "base", "after"] * 2

    def test_zero_gradient(self, case: Case) -> None:
        """At a stationary point nothing moves and nothing becomes NaN."""
        problem = Problem()

        def flatten(_: int) -> None:
            for p in problem.params:
                p.grad.zero_()

        problem.after = flatten
        before = problem.weights()
        opt = case.build(problem.params)
        advance(case, problem, opt, 2 * len(case.passes))
        assert equal(problem.weights(), before)
        assert opt.skipped_steps == 0

    def test_no_gradient_at_all(self, case: Case) -> None:
        problem = Problem()
        problem.after = lambda _: problem.model.zero_grad(set_to_none=True)
        before = problem.weights()
        advance(case, problem, case.build(problem.params), len(case.passes))
        assert equal(problem.weights(), before)

    def test_inside_no_grad(self, case: Case) -> None:
        """A closure needs no ``enable_grad`` of its own."""
        outside, inside = Problem(), Problem()
        advance(case, outside, case.build(outside.params), 2)
        with torch.no_grad():
            advance(case, inside, case.build(inside.params), 2)
        assert equal(outside.weights(), inside.weights())

    def test_base_instance(self, case: Case) -> None:
        """Built around an instance it is the same optimizer, and keeps that instance."""
        problem, twin = Problem(), Problem()
        base = torch.optim.Adam(twin.params, lr=0.01)
        opt = case.build(twin.params, base)
        assert opt.base is base
        advance(case, problem, case.build(problem.params, torch.optim.Adam, lr=0.01), 3)
        advance(case, twin, opt, 3)
        assert equal(problem.weights(), twin.weights())


class PassContract:
    """What must hold when something happens in one pass of a step."""

    @pytest.mark.parametrize(("case", "t", "number"), PASSES)
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_raising_closure(self, case: Case, t: int, number: int, error: type[BaseException]) -> None:
        """The weights are back, and the next step is that of an optimizer that never failed."""
        problem, twin = Problem(), Problem()
        opt, other = case.build(problem.params), case.build(twin.params)
        advance(case, problem, opt, t)
        advance(case, twin, other, t)
        before = problem.weights()

        def fail(done: int) -> None:
            if done == number:
                raise error("stop")

        problem.after = fail
        with pytest.raises(error, match="stop"):
            advance(case, problem, opt, 1)
        assert equal(problem.weights(), before)
        problem.after = lambda _: None
        advance(case, problem, opt, 3)
        advance(case, twin, other, 3)
        assert equal(problem.weights(), twin.weights())

    @pytest.mark.parametrize(("case", "t", "number"), PASSES)
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("rho", [RHO, 0.0])
    def test_non_finite_gradient(self, case: Case, t: int, number: int, value: float, rho: float) -> None:
        """The whole step is skipped and counted; weights, state and random numbers go on as if it were left out."""
        if rho == 0 and not case.peer and number > 0:
            return  # there is no such pass
        problem, twin = (Problem(dropout=0.3, norm=nn.BatchNorm1d(8)) for _ in range(2))
        opt, other = (case.build(p.params, torch.optim.Adam, rho=rho) for p in (problem, twin))
        for p, optimizer in ((problem, opt), (twin, other)):
            torch.manual_seed(0)
            advance(case, p, optimizer, t)
        before, state = problem.weights(), copy.deepcopy(opt.state_dict())
        poison(problem, number, value)
        torch.manual_seed(1)
        advance(case, problem, opt, 1)
        generator = torch.get_rng_state()
        torch.manual_seed(1)
        with nullcontext() if case.passes[t % len(case.passes)][0] == "gnn" else held_statistics(twin.model):
            twin.loss(
                graph=case.passes[t % len(case.passes)][0] == "gnn"
            )  # the batch counts in the statistics, as in any training
        assert torch.equal(torch.get_rng_state(), generator)
        assert equal(problem.weights(), before)
        assert opt.skipped_steps == 1
        state["sharpness"]["counters"]["skipped_steps"] = 1
        assert equal(opt.state_dict(), state)
        assert equal(problem.buffers(), twin.buffers())
        problem.after = lambda _: None
        for p, optimizer in ((problem, opt), (twin, other)):
            torch.manual_seed(2)
            advance(case, p, optimizer, 3)
        assert equal(problem.weights(), twin.weights())

    @pytest.mark.parametrize(("case", "t", "number"), PASSES)
    def test_missing_gradient(self, case: Case, t: int, number: int) -> None:
        """A parameter with no gradient in one pass comes back to where it was, and the others go on as with zero."""
        missing, zero = Problem(), Problem()
        opt, other = case.build(missing.params), case.build(zero.params)
        advance(case, missing, opt, t)
        advance(case, zero, other, t)

        def drop(done: int) -> None:
            if done == number:
                missing.params[0].grad = None

        def clear(done: int) -> None:
            if done == number:
                zero.params[0].grad.zero_()

        missing.after, zero.after = drop, clear
        for problem, optimizer in ((missing, opt), (zero, other)):
            advance(case, problem, optimizer, 1)
            problem.after = lambda _: None
        assert equal(missing.weights(), zero.weights())
        advance(case, missing, opt, 2)
        advance(case, zero, other, 2)
        assert equal(missing.weights(), zero.weights())

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_unused_parameter(self, case: Case) -> None:
        """A parameter that never has a gradient stays, bit for bit, whatever the weight decay."""
        problem = Problem()
        unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
        opt = case.build([*problem.params, unused], weight_decay=0.1)
        advance(case, problem, opt, 4)
        assert torch.equal(unused, torch.ones(3, dtype=torch.float64))
        assert unused.grad is None


@pytest.mark.parametrize("case", BY_HAND, ids=str)
class ByHandContract:
    """Loops written by hand, for the optimizers whose passes do not differ between steps."""

    @staticmethod
    def passes(case: Case) -> tuple[bool, bool]:
        return case.passes[0][0] == "gnn", case.passes[0][1] == "gnn"

    @pytest.mark.parametrize("way", ["perturbed-descend", "perturbed-step", "ascend-descend", "ascend-step"])
    def test_equals_step(self, case: Case, way: str) -> None:
        """Bit for bit what ``step(closure)`` does, and schedulers do not complain."""
        problem, twin = Problem(norm=nn.BatchNorm1d(8)), Problem(norm=nn.BatchNorm1d(8))
        opt, other = case.build(problem.params), case.build(twin.params)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 1.0)
        climb, descend = self.passes(case)
        for _ in range(3):
            opt.zero_grad()
            problem.loss(climb).backward()
            if way.startswith("perturbed"):
                with opt.perturbed() as same:
                    assert same is opt
                    problem.loss(descend).backward()
            else:
                assert opt.ascend()
                problem.model.eval().train()
                problem.loss(descend).backward()
            assert opt.step() is None if way.endswith("step") else opt.descend()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                scheduler.step()
            twin.step(other, peer=case.peer)
            assert equal(problem.weights(), twin.weights())
            if way.startswith("perturbed"):  # the bare pair leaves statistics to the caller
                assert equal(problem.buffers(), twin.buffers())

    def test_clipping(self, case: Case) -> None:
        """Clipping between the passes and the descent equals ``max_grad_norm``."""
        problem, twin = Problem(), Problem()
        opt, other = case.build(problem.params), case.build(twin.params, max_grad_norm=0.01)
        climb, descend = self.passes(case)
        for _ in range(3):
            opt.zero_grad()
            problem.loss(climb).backward()
            with opt.perturbed():
                problem.loss(descend).backward()
            total = torch.nn.utils.get_total_norm([p.grad for p in problem.params])
            for p in problem.params:
                p.grad.mul_(0.01 / total)
            opt.descend()
            twin.step(other, peer=case.peer)
        torch.testing.assert_close(problem.params, twin.params, rtol=1e-13, atol=1e-15)

    def test_accumulation(self, case: Case) -> None:
        """Micro-batches accumulated in each pass equal the full batch."""
        problem, twin = Problem(), Problem()
        opt, other = case.build(problem.params, torch.optim.Adam), case.build(twin.params, torch.optim.Adam)
        climb, descend = self.passes(case)
        parts = [slice(0, 3), slice(3, 7), slice(7, 12)]
        for _ in range(3):
            opt.zero_grad()
            for rows in parts:
                (problem.loss(climb, rows) * (rows.stop - rows.start) / 12).backward()
            with opt.perturbed():
                for rows in parts:
                    (problem.loss(descend, rows) * (rows.stop - rows.start) / 12).backward()
            opt.descend()
            twin.step(other, peer=case.peer)
        torch.testing.assert_close(problem.params, twin.params, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_raising_block(self, case: Case, error: type[BaseException]) -> None:
        problem = Problem()
        opt = case.build(problem.params)
        before = problem.weights()
        problem.loss().backward()
        with suppress(error), opt.perturbed():
            assert not equal(problem.weights(), before)
            raise error
        assert equal(problem.weights(), before)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_non_finite_ascent(self, case: Case, value: float) -> None:
        """The block runs at the weights themselves, and the step is skipped even if the block's gradient is fine."""
        problem = Problem()
        opt = case.build(problem.params)
        before = problem.weights()
        problem.loss().backward()
        problem.params[1].grad[0] = value
        with opt.perturbed():
            assert equal(problem.weights(), before)
            opt.zero_grad()
            problem.loss().backward()
        assert opt.descend() is False
        assert equal(problem.weights(), before)
        assert opt.skipped_steps == 1
        advance(case, problem, opt, 1)
        assert not equal(problem.weights(), before)

    def test_ascend_twice(self, case: Case) -> None:
        problem = Problem()
        opt = case.build(problem.params)
        before = problem.weights()
        problem.loss().backward()
        opt.ascend()
        with pytest.raises(RuntimeError, match=r"call descend\(\) in between"):
            opt.ascend()
        problem.loss().backward()
        assert opt.descend()
        advance(case, problem, opt, 1)
        assert not equal(problem.weights(), before)

    def test_step_without_ascent(self, case: Case) -> None:
        """A forgotten second pass must not silently train with the base alone; at rho = 0 that is what is asked for."""
        problem = Problem()
        opt = case.build(problem.params)
        before = problem.weights()
        problem.loss().backward()
        with pytest.raises(RuntimeError, match=r"opt\.perturbed"):
            opt.step()
        assert equal(problem.weights(), before)
        grads = [p.grad.clone() for p in problem.params]
        assert opt.descend()  # says plainly that only the descent is wanted
        torch.testing.assert_close(flat(problem.weights()), flat(before) - 0.1 * flat(grads), rtol=0, atol=1e-16)
        still = case.build(problem.params, rho=0.0)
        problem.loss().backward()
        assert still.step() is None

    def test_naive_gradient(self, case: Case) -> None:
        """The gradient the base sees, against a perturbation added by hand along the direction the optimizer took."""
        problem = Problem()
        opt = case.build(problem.params, lr=0.0)
        grads: list[list[Tensor]] = []
        final_gradients(opt, grads)
        climb, descend = self.passes(case)
        first, start = problem.gradient(climb), problem.weights()
        problem.loss(climb).backward()
        with opt.perturbed():
            shifts = [p.detach() - w for p, w in zip(problem.params, start, strict=True)]
            problem.loss(descend).backward()
        opt.descend()
        with moved(problem.params, shifts):
            second = problem.gradient(descend)
        own, other = 0.0, 1.0
        if case.peer:
            lam = opt.param_groups[0]["lam"]
            own, other = (1 - lam, lam) if opt.variant == "released" else (lam, 1.0)
        torch.testing.assert_close(flat(grads[0]), own * flat(first) + other * flat(second), rtol=1e-12, atol=1e-15)
