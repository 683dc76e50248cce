"""What the core does that the contract, which runs on every variant, does not show."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsam.optim import FGSAM, SAM, Euclidean, Geometry, SharpnessAware, Site
from tests.optim.problems import Problem, equal, flat

DOUBLE = torch.float64


def perturbation(opt: SharpnessAware) -> Tensor:
    """What ``ascend()`` adds to the weights along the gradients in place."""
    params = [p for group in opt.param_groups for p in group["params"]]
    before = flat(params).clone()
    with opt.perturbed():
        return flat(params) - before


def test_groups_have_their_own_radius() -> None:
    """A group with rho = 0 neither moves nor counts: the other one moves by exactly its rho."""
    problem = Problem()
    first, second = problem.params[:2], problem.params[2:]
    opt = SAM([{"params": first, "rho": 0.0}, {"params": second, "rho": 0.7}], torch.optim.SGD, lr=0.1)
    problem.loss().backward()
    shift = perturbation(opt)
    size = sum(p.numel() for p in first)
    assert not shift[:size].any()
    assert shift[size:].norm().item() == pytest.approx(0.7, rel=1e-13)


def test_groups_of_equal_shapes_come_back_to_their_own_weights() -> None:
    first, second = nn.Parameter(torch.full((3,), 1.0)), nn.Parameter(torch.full((3,), 2.0))
    opt = SAM([{"params": [first]}, {"params": [second]}], torch.optim.SGD, lr=0.0, rho=1.0)
    for _ in range(2):
        (first.sum() + second.sum()).backward()
        with opt.perturbed():
            (first.sum() + second.sum()).backward()
        opt.step()
        assert first.tolist() == [1.0] * 3
        assert second.tolist() == [2.0] * 3


def test_unequal_radii_share_one_norm() -> None:
    problem = Problem()
    first, second = problem.params[:2], problem.params[2:]
    opt = SAM([{"params": first, "rho": 0.2}, {"params": second, "rho": 0.7}], torch.optim.SGD, lr=0.1)
    problem.loss().backward()
    grads = [flat([p.grad for p in group]) for group in (first, second)]
    expected = torch.cat([0.2 * grads[0], 0.7 * grads[1]]) / torch.cat(grads).norm()
    torch.testing.assert_close(perturbation(opt), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_gradient_of_a_resting_group(value: float) -> None:
    """A group with rho = 0 takes no part in the ascent, and yet its bad gradient shows that the pass is spoilt."""
    problem = Problem()
    opt = SAM([{"params": problem.params[:2], "rho": 0.0}, {"params": problem.params[2:]}], torch.optim.SGD, lr=0.1)
    before = problem.weights()

    def spoil(number: int) -> None:
        if number == 0:
            problem.params[0].grad[0] = value

    problem.after = spoil
    problem.step(opt)
    assert problem.calls == ["gnn"]
    assert opt.skipped_steps == 1
    assert equal(problem.weights(), before)


def test_rho_can_be_scheduled() -> None:
    """The radius is read from the group at each step, as the learning rate is."""
    problem = Problem()
    opt = SAM(problem.params, torch.optim.SGD, lr=0.0)
    for rho in (0.3, 0.01, 0.0, 0.5):
        opt.param_groups[0]["rho"] = rho
        problem.loss().backward()
        assert perturbation(opt).norm().item() == pytest.approx(rho, rel=1e-12)
        opt.descend()


def test_mixed_precision_groups() -> None:
    """The norm runs over all dtypes, and each parameter keeps its own."""
    params = [nn.Parameter(torch.full((4,), 2.0, dtype=d)) for d in (torch.bfloat16, torch.float32, DOUBLE)]
    opt = SAM([{"params": [p]} for p in params], torch.optim.SGD, lr=1.0, rho=6.0)
    one_group = SAM(params, torch.optim.SGD, lr=0.0, rho=6.0)
    for optimizer in (one_group, opt):
        for p in params:
            p.grad = torch.full_like(p, 3.0)  # norm 3 * sqrt(12), so each entry moves by 6 / sqrt(12)
        with optimizer.perturbed():
            for p in params:
                expected = torch.full_like(p, 2.0 + 6.0 / math.sqrt(12))
                torch.testing.assert_close(p.detach(), expected)
                p.grad = torch.ones_like(p)
        optimizer.descend()
    assert all(torch.equal(p, torch.ones_like(p)) for p in params)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(("base", "exact"), [(torch.optim.SGD, torch.optim.SGD), (torch.optim.SparseAdam, None)])
@pytest.mark.parametrize("adaptive", [False, True])
def test_sparse_embedding(base: Any, exact: Any, adaptive: bool) -> None:
    """Row-sparse gradients give what dense ones do; the touched rows change between steps and repeat in a batch."""
    torch.manual_seed(0)
    start = torch.randn(20, 3, dtype=DOUBLE)
    target = torch.randn(6, 3, dtype=DOUBLE)

    def train(sparse: bool, base: Any) -> Tensor:
        table = nn.Embedding(20, 3, sparse=sparse, _weight=start.clone(), dtype=DOUBLE)
        opt = SAM(table.parameters(), base, lr=0.1, rho=0.5, adaptive=adaptive)
        for step in range(4):
            rows = torch.tensor([1, 4, 4, 7, 1, 3 + step])

            def closure(rows: Tensor = rows) -> Tensor:
                opt.zero_grad()
                loss = (table(rows) - target).square().sum()
                loss.backward()
                return loss

            opt.step(closure)
        assert torch.equal(table.weight[10:], start[10:])
        return table.weight.detach()

    if exact is not None:
        torch.testing.assert_close(train(True, base), train(False, exact), rtol=1e-13, atol=1e-14)
        return
    # SparseAdam is lazy, so a dense Adam differs: give it the dense SAM gradients of the touched rows instead
    table = nn.Parameter(start.clone())
    lazy = torch.optim.SparseAdam([table], lr=0.1)
    for step in range(4):
        rows = torch.tensor([1, 4, 4, 7, 1, 3 + step])
        g = torch.autograd.grad((table[rows] - target).square().sum(), table)[0]
        scale = table.detach().abs() if adaptive else torch.ones_like(g)
        moved = (table + 0.5 * scale**2 * g / (scale * g).norm()).detach().requires_grad_()
        final = torch.autograd.grad((moved[rows] - target).square().sum(), moved)[0]
        touched = rows.unique()
        table.grad = torch.sparse_coo_tensor(touched[None], final[touched], table.shape)
        lazy.step()
    torch.testing.assert_close(train(True, base), table.detach(), rtol=1e-13, atol=1e-14)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("spoilt", [0, 1])
def test_sparse_rows_come_back(spoilt: int) -> None:
    """Bit for bit after an error and after a skipped step, also when the second pass touches other rows."""
    table = nn.Embedding(9, 2, sparse=True)
    start = table.weight.detach().clone()
    opt = SAM(table.parameters(), torch.optim.SGD, lr=0.0, rho=3.0)
    for value in (1.0, math.nan):
        number = 0

        def closure(value: float = value) -> Tensor:
            nonlocal number
            opt.zero_grad()
            loss = table(torch.tensor([0, 2, 2] if number == 0 else [2, 5])).square().sum()
            (loss * (value if number == spoilt else 1.0)).backward()
            number += 1
            return loss

        opt.step(closure)
        assert torch.equal(table.weight, start)
    assert opt.skipped_steps == 1


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_clipping_sparse_gradients() -> None:
    table = nn.Embedding(9, 2, sparse=True)
    start = table.weight.detach().clone()
    opt = SAM(table.parameters(), torch.optim.SGD, lr=1.0, rho=0.0, max_grad_norm=0.5)
    table(torch.tensor([1, 1, 3])).sum().backward()
    opt.step()
    step = start - table.weight.detach()
    assert step.norm().item() == pytest.approx(0.5, rel=1e-5)
    torch.testing.assert_close(step[1], 2 * step[3])


class Broken(Euclidean):
    """Fails where told to."""

    def __init__(self, place: str) -> None:
        self.place = place

    def move(self, site: Site, direction: list[Tensor], scale: float) -> None:
        super().move(site, direction, scale)
        if self.place == "move":
            raise KeyboardInterrupt

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:
        if self.place == "pull_back":
            raise KeyboardInterrupt


@pytest.mark.parametrize("place", ["move", "pull_back"])
def test_a_geometry_that_fails(place: str) -> None:
    """An interrupt in the middle of the ascent or of the return leaves no weight perturbed."""
    problem = Problem()
    opt = SharpnessAware(problem.params, torch.optim.SGD, lr=0.1, rho=1.0, geometry=Broken(place))
    before = problem.weights()
    with pytest.raises(KeyboardInterrupt):
        problem.step(opt)
    assert equal(problem.weights(), before)
    opt.geometry = Euclidean()
    problem.step(opt)
    assert not equal(problem.weights(), before)


class Doubling(Euclidean):
    """A geometry whose pull-back shows: it doubles gradients, and checks what it is given."""

    def pull_back(self, site: Site, origin: list[Tensor]) -> None:
        for p, old in zip(site.params, origin, strict=True):
            assert not torch.equal(p, old)
            p.grad.mul_(2)


def test_pull_back_is_applied_before_the_return() -> None:
    plain, doubled = Problem(), Problem()
    opt = SAM(plain.params, torch.optim.SGD, lr=0.2, rho=0.4)
    other = SharpnessAware(doubled.params, torch.optim.SGD, lr=0.1, rho=0.4, geometry=Doubling())
    for _ in range(3):
        plain.step(opt)
        doubled.step(other)
    torch.testing.assert_close(plain.params, doubled.params, rtol=1e-13, atol=1e-15)


def test_geometry_is_an_interface() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Geometry()


def test_a_state_of_the_base_alone() -> None:
    """Training that began with the base goes on with its moments; rho keeps the value it was built with."""
    problem = Problem()
    adam = torch.optim.Adam(problem.params, lr=0.01)
    for _ in range(3):
        problem.step(adam)
    opt = SAM(problem.params, torch.optim.Adam, lr=9.0, rho=0.4)
    opt.load_state_dict(adam.state_dict())
    assert opt.param_groups[0]["rho"] == 0.4
    assert opt.param_groups[0]["lr"] == 0.01
    assert equal(opt.base.state_dict()["state"], adam.state_dict()["state"])
    problem.step(opt)
    assert opt.state[problem.params[0]]["step"] == 4


def test_a_state_of_other_groups_is_refused() -> None:
    problem = Problem()
    opt = SAM(problem.params, torch.optim.SGD, lr=0.1)
    other = SAM([{"params": problem.params[:1]}, {"params": problem.params[1:]}], torch.optim.SGD, lr=0.1)
    before = opt.state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        opt.load_state_dict(other.state_dict())
    assert equal(opt.state_dict(), before)


def test_state_dict_hooks() -> None:
    problem = Problem()
    opt = SAM(problem.params, torch.optim.SGD, lr=0.1)
    ran: list[str] = []
    opt.register_state_dict_pre_hook(lambda _: ran.append("pre"))
    opt.register_state_dict_post_hook(lambda _, state: {**state, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda _, state: {k: v for k, v in state.items() if k != "extra"})
    opt.register_load_state_dict_post_hook(lambda _: ran.append("post"))
    state = opt.state_dict()
    assert state["extra"] == 1
    opt.load_state_dict(state)
    assert ran == ["pre", "post"]


def test_loading_keeps_sharing() -> None:
    problem = Problem()
    opt = SAM(problem.params, torch.optim.Adam, lr=0.1)
    problem.step(opt)
    opt.load_state_dict(opt.state_dict())
    assert opt.param_groups is opt.base.param_groups
    assert opt.state is opt.base.state
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    problem.step(opt)
    scheduler.step()
    assert opt.base.param_groups[0]["lr"] == 0.05


def test_zero_grad_of_either() -> None:
    for which in ("opt", "base"):
        problem = Problem()
        opt = SAM(problem.params, torch.optim.SGD, lr=0.1)
        problem.loss().backward()
        (opt if which == "opt" else opt.base).zero_grad()
        assert all(p.grad is None for p in problem.params)


def test_replay_can_be_switched_off() -> None:
    masks: list[Tensor] = []
    problem = Problem(dropout=0.5)
    problem.model.dropout.register_forward_hook(lambda _m, _i, out: masks.append(out.detach() != 0))
    problem.step(SAM(problem.params, torch.optim.SGD, lr=0.1, replay_rng=False))
    assert not torch.equal(*masks)


def test_named_module_statistics() -> None:
    """With ``module`` the statistics are held by name, whichever modules are called."""
    problem = Problem(norm=nn.BatchNorm1d(8))
    opt = SAM(problem.params, torch.optim.SGD, lr=0.1, module=problem.model)
    problem.step(opt)
    assert problem.model.norm.num_batches_tracked == 1


def test_repr_shows_rho() -> None:
    assert "rho: 0.25" in repr(SAM(Problem().params, torch.optim.SGD, lr=0.1, rho=0.25))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_closure_may_leave_clearing_to_the_loop(set_to_none: bool) -> None:
    """Cleared in the closure or after the step, in place or not: what a closure adds to is nothing, or its own."""
    inside, after = Problem(), Problem()
    opt, other = (SAM(p.params, torch.optim.Adam, lr=0.1, rho=0.3) for p in (inside, after))

    def closure() -> Tensor:
        loss = after.loss()
        loss.backward()
        return loss

    inside.set_to_none = set_to_none
    for _ in range(4):
        inside.step(opt)
        other.step(closure)
        other.zero_grad(set_to_none=set_to_none)
    assert equal(inside.weights(), after.weights())


def test_gradients_from_outside_the_closure_are_refused() -> None:
    """The second pass would lack them. Weights and optimizer stay as they were, and the next step can be taken."""
    problem, other = Problem(), Problem()
    opt = SAM(problem.params, torch.optim.Adam, lr=0.1, rho=0.3)

    def adding() -> None:
        problem.loss().backward()

    for _ in range(2):
        before = problem.weights()
        opt.zero_grad()
        problem.loss().backward()  # such as the first micro-batch
        with pytest.raises(RuntimeError, match="adds to gradients computed outside it"):
            opt.step(adding)
        assert equal(problem.weights(), before)
        opt.zero_grad()
        problem.loss().backward()  # cleared by the closure: nothing is lost
        problem.step(opt)
    reference = SAM(other.params, torch.optim.Adam, lr=0.1, rho=0.3)
    for _ in range(2):
        other.step(reference)
    assert equal(problem.weights(), other.weights())


@pytest.mark.parametrize("stale", [0.0, 7.0])
def test_gradients_that_the_closure_sets_to_zero_are_not_from_outside(stale: float) -> None:
    """Memory of the gradients that is kept, as for captured graphs: the closure clears it in place."""
    problem, other = Problem(), Problem()
    opt = SAM(problem.params, torch.optim.Adam, lr=0.1, rho=0.3)
    for param in problem.params:
        param.grad = torch.full_like(param, stale)

    def in_place() -> Tensor:
        opt.zero_grad(set_to_none=False)
        loss = problem.loss()
        loss.backward()
        return loss

    reference = SAM(other.params, torch.optim.Adam, lr=0.1, rho=0.3)
    for _ in range(2):
        opt.step(in_place)
        other.step(reference)
    assert equal(problem.weights(), other.weights())


def test_without_a_climb_gradients_may_come_from_outside() -> None:
    """With ``rho = 0`` there is one pass, and it may be the last of an accumulation."""
    problem, other = Problem(), Problem()
    opt, base = SAM(problem.params, torch.optim.SGD, lr=0.1, rho=0.0), torch.optim.SGD(other.params, lr=0.1)
    for each in (problem, other):
        each.loss(rows=slice(0, 5)).backward()
    opt.step(lambda: problem.loss(rows=slice(5, None)).backward())
    other.loss(rows=slice(5, None)).backward()
    base.step()
    assert equal(problem.weights(), other.weights())


def test_a_closure_without_gradients_in_its_second_call() -> None:
    """The base would step with nothing, for ever."""
    problem = Problem()
    opt = SAM(problem.params, torch.optim.Adam, lr=0.1, rho=0.3)
    before = problem.weights()
    losses = [problem.loss()]
    with pytest.raises(RuntimeError, match="computes gradients each time"):
        opt.step(lambda: losses.pop().backward() if losses else None)
    assert equal(problem.weights(), before)
    opt.step(lambda: None)  # no gradient in either call: a batch that is left out
    assert equal(problem.weights(), before)
    assert not opt.is_perturbed


@pytest.mark.parametrize("kind", [SAM, FGSAM])
def test_a_closure_that_computes_nothing_ends_a_step_by_hand(kind: Any) -> None:
    found, expected = Problem(), Problem()
    calls = []
    opts = [kind(p.params, torch.optim.Adam, lr=0.1, rho=0.3) for p in (found, expected)]
    for _ in range(3):
        for problem, opt in zip((found, expected), opts, strict=True):
            opt.zero_grad()
            problem.loss().backward()
            with opt.perturbed():
                assert opt.is_perturbed
                problem.loss().backward()
        opts[0].step(lambda: calls.append(opts[0].is_perturbed))
        opts[1].step()
    assert calls == [False] * 3
    assert equal(found.weights(), expected.weights())


def test_a_step_by_hand_must_end_before_the_next_closure() -> None:
    problem = Problem()
    opt = SAM(problem.params, torch.optim.Adam, lr=0.1, rho=0.3)
    before = problem.weights()
    problem.loss().backward()
    with opt.perturbed():
        problem.loss().backward()
    with pytest.raises(RuntimeError, match="ascent was made by hand, found a closure that computes gradients"):
        problem.step(opt)
    assert equal(problem.weights(), before)
    problem.step(opt)
    assert len(problem.calls) == 2
    assert not equal(problem.weights(), before)


def test_an_exception_in_a_pass_by_hand_forgets_the_ascent() -> None:
    problem, other = Problem(), Problem()
    opt, reference = (SAM(p.params, torch.optim.Adam, lr=0.1, rho=0.3) for p in (problem, other))
    problem.loss().backward()
    with pytest.raises(ZeroDivisionError), opt.perturbed():
        _ = 1 / 0
    problem.step(opt)
    other.step(reference)
    assert equal(problem.weights(), other.weights())
