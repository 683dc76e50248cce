"""What every two-pass optimizer must be between steps: a torch optimizer, with state, groups, copies and hooks."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

from tests.contracts.optimizer_cases import BASES, CASES, Case, advance, through_file
from tests.optim.problems import Problem, equal, final_gradients, flat


@pytest.mark.parametrize("case", CASES, ids=str)
class StateContract:
    """The laws that hold for each case."""

    @pytest.mark.parametrize("base", BASES)
    def test_resume(self, case: Case, base: str) -> None:
        """10 + 10 steps with a save and a load in between equal 20 steps, bit for bit."""
        kind, options = BASES[base]
        straight, first = Problem(dropout=0.3), Problem(dropout=0.3)
        straight_opt, opt = case.build(straight.params, kind, **options), case.build(first.params, kind, **options)
        advance(case, straight, straight_opt, 20, seed=3)
        advance(case, first, opt, 10, seed=3)
        saved = through_file({"model": first.model.state_dict(), "opt": opt.state_dict()})
        generator = torch.get_rng_state()
        second = Problem(dropout=0.3)
        second.model.load_state_dict(saved["model"])
        opt = case.build(second.params, kind, **{**options, "lr": 9.0}, rho=9.0)  # what is loaded counts
        opt.load_state_dict(saved["opt"])
        torch.set_rng_state(generator)
        advance(case, second, opt, 10, seed=None)
        if base == "geoopt-adam":  # geoopt's step count comes back as a float32 tensor, so do its bias corrections
            torch.testing.assert_close(second.params, straight.params, rtol=1e-4, atol=1e-5)
        else:
            assert equal(second.weights(), straight.weights())
            assert equal(opt.state_dict(), straight_opt.state_dict())

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

    def test_base_instance(self, case: Case) -> None:
        """Built around an instance it is the same optimizer, and keeps that instance."""
        problem, twin = Problem(), Problem()
        base = torch.optim.Adam(twin.params, lr=0.01)
        opt = case.build(twin.params, base)
        assert opt.base is base
        advance(case, problem, case.build(problem.params, torch.optim.Adam, lr=0.01), 3)
        advance(case, twin, opt, 3)
        assert equal(problem.weights(), twin.weights())
