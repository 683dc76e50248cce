from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall
from gsam.optim import SAM, riemannian_base
from gsam.optim.riemannian_adam import RiemannianAdam
from gsam.optim.riemannian_sgd import RiemannianSGD
from tests.optim.problems import equal
from tests.optim.riemannian_naive import DOUBLE, dense, hyperboloid_points, row_sparse, run, touched_rows

Make = Callable[[Any], Any]
MAKERS: list[Make] = [
    lambda params: RiemannianAdam(params, lr=0.05),
    lambda params: RiemannianAdam(params, lr=0.05, amsgrad=True, stabilize=2),
    lambda params: RiemannianSGD(params, lr=0.05, momentum=0.9),
    lambda params: RiemannianSGD(params, lr=0.05),
]


class Table(nn.Module):
    """Points of a hyperboloid, some looked up, and a plain layer; each batch takes part of the rows."""

    def __init__(self, dtype: torch.dtype = DOUBLE, sparse: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.points = geoopt.ManifoldParameter(hyperboloid_points(12, 3, 1.0).to(dtype), manifold=Lorentz())
        self.mix = nn.Linear(4, 2, dtype=dtype)
        self.sparse = sparse

    def loss(self, batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        rows = torch.randint(12, (6,), generator=generator)
        found = nn.functional.embedding(rows, self.points, sparse=self.sparse and batch % 3 > 0)
        return self.mix(found).square().mean() + found[:, 0].mean()

    def train_on(self, opt: torch.optim.Optimizer, batches: range) -> None:
        for batch in batches:
            opt.zero_grad()
            self.loss(batch).backward()
            opt.step()


def drift(manifold: Any, x: Tensor) -> float:
    """How far points are from the hyperboloid, relative to their squared coordinates, or outside the ball."""
    x = x.double()
    if isinstance(manifold, Lorentz):
        form = x[:, 1:].square().sum(1) - x[:, 0].square() + 1
        return float((form / x[:, 0].square()).abs().max())
    return float((x.norm(dim=1) - 1).max())


def through_a_file(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# -- where a parameter lives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_the_manifold_of_the_group_comes_first(make: Make) -> None:
    start, steps = hyperboloid_points(6, 3, 1.0), touched_rows(6, 4, 4, 0.6)
    grads = [dense(touched, start) for touched in steps]
    here, there = Lorentz(), geoopt.Euclidean()

    def end(param: nn.Parameter, manifold: Any) -> Tensor:
        return run(make([{"params": [param], "manifold": manifold}]), param, grads)

    on = end(geoopt.ManifoldParameter(start.clone(), manifold=here), None)
    plain = end(nn.Parameter(start.clone()), None)
    assert drift(here, on) < 1e-14
    assert drift(here, plain) > 1e-3
    assert torch.equal(on, end(nn.Parameter(start.clone()), here))
    assert torch.equal(on, end(geoopt.ManifoldParameter(start.clone(), manifold=here), here))
    assert torch.equal(plain, end(geoopt.ManifoldParameter(start.clone(), manifold=here), there))


def test_the_manifold_of_the_optimizer_and_of_added_groups() -> None:
    one, two = (nn.Parameter(hyperboloid_points(3, 2, 1.0)) for _ in range(2))
    opt = RiemannianAdam([one], manifold=Lorentz())
    opt.add_param_group({"params": [two], "lr": 0.1, "manifold": geoopt.Euclidean()})
    assert isinstance(opt.param_groups[0]["manifold"], Lorentz)
    assert opt.param_groups[1]["lr"] == 0.1
    for param in (one, two):
        param.grad = torch.ones_like(param)
    opt.step()
    assert drift(Lorentz(), one.detach()) < 1e-14
    torch.testing.assert_close(two.detach(), hyperboloid_points(3, 2, 1.0) - 0.1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ({"params": [nn.Parameter(torch.ones(3))], "manifold": "lorentz"}, TypeError, "geoopt.Manifold"),
        (
            {"params": [nn.Parameter(torch.ones(()))], "manifold": geoopt.Sphere()},
            ValueError,
            "expected points of Sphere",
        ),
        ({"params": [nn.Parameter(torch.ones(2, dtype=torch.complex64))]}, TypeError, "real parameters"),
        ({"params": [nn.Parameter(torch.ones(2))], "stabilize": 0}, ValueError, "stabilize >= 1"),
    ],
)
def test_groups_that_are_refused(group: dict[str, Any], error: type[Exception], message: str) -> None:
    for make in MAKERS:
        opt = make([nn.Parameter(torch.ones(2))])
        with pytest.raises(error, match=message):
            opt.add_param_group(dict(group))
        assert len(opt.param_groups) == 1


def test_rows_that_are_no_points() -> None:
    x = geoopt.ManifoldParameter(hyperboloid_points(1, 3, 1.0)[0], manifold=Lorentz())
    for make in MAKERS:
        x.grad = torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, dtype=DOUBLE), (4,), check_invariants=False)
        with pytest.raises(ValueError, match="one point of shape \\(4,\\); make it dense"):
            make([x]).step()


# -- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifold", [geoopt.Lorentz(), Lorentz(), geoopt.Euclidean(), geoopt.Sphere()])
@pytest.mark.parametrize("extra", [{}, {"weight_decay": 0.1}, {"maximize": True}])
@pytest.mark.parametrize("made", [RiemannianAdam, RiemannianSGD])
def test_gradients_are_not_written_to(made: Any, extra: dict[str, Any], manifold: Any) -> None:
    start = hyperboloid_points(6, 3, 1.0)
    for layout in (dense, row_sparse):
        x = nn.Parameter(start.clone())
        opt = made([x], lr=0.01, manifold=manifold, **extra)
        grad = layout(touched_rows(6, 4, 1, 0.7)[0], start)
        for given in (grad, grad.coalesce() if grad.is_sparse else grad):
            x.grad = given
            before = given.to_dense().clone()
            opt.step()
            assert x.grad is given
            assert torch.equal(given.to_dense(), before)


@pytest.mark.parametrize("make", MAKERS)
def test_an_empty_sparse_gradient_moves_nothing(make: Make) -> None:
    x = geoopt.ManifoldParameter(hyperboloid_points(6, 3, 1.0), manifold=Lorentz())
    start = x.detach().clone()
    assert torch.equal(run(make([x]), x, [row_sparse({}, start), row_sparse({}, start)]), start)


@pytest.mark.parametrize("make", MAKERS)
def test_the_closure_is_called_with_gradients_and_its_loss_returned(make: Make) -> None:
    w = nn.Parameter(torch.ones(2))
    opt = make([w])

    def closure() -> Tensor:
        opt.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert opt.step(closure).item() == 2.0
    assert (w < 1).all()


@pytest.mark.parametrize("make", MAKERS)
def test_a_large_table_moves_in_blocks_and_nobody_sees_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    start, steps = hyperboloid_points(11, 3, 1.0), touched_rows(11, 4, 6, 0.7)
    grads = [(row_sparse if i % 3 == 2 else dense)(touched, start) for i, touched in enumerate(steps)]
    ends = []
    for block in (2**18, 12, 1):
        monkeypatch.setattr(riemannian_base, "BLOCK", block)
        x = nn.Parameter(start.clone())
        opt = make([{"params": [x], "manifold": Lorentz()}])
        ends.append((run(opt, x, grads), opt.state_dict()))
    for points, state in ends[1:]:
        torch.testing.assert_close(points, ends[0][0], rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(state["state"], ends[0][1]["state"], rtol=1e-13, atol=1e-13)


# -- states, copies, files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("make", MAKERS)
def test_a_resumed_run_is_the_run(make: Make, wrap: bool) -> None:
    """Bit for bit, through files, alone and as the base of a sharpness-aware optimizer."""

    def build() -> tuple[Table, Any]:
        model = Table()
        groups = [{"params": [model.points], "manifold": Lorentz()}, {"params": list(model.mix.parameters())}]
        opt = make(groups)
        return model, (SAM(model.parameters(), opt, rho=0.0) if wrap else opt)

    def train(model: Table, opt: Any, batches: range) -> None:
        for batch in batches:

            def closure(batch: int = batch) -> Tensor:
                opt.zero_grad()
                loss = model.loss(batch)
                loss.backward()
                return loss

            opt.step(closure)

    whole, opt = build()
    train(whole, opt, range(5))
    saved = through_a_file({"model": whole.state_dict(), "opt": opt.state_dict()})
    assert "manifold" not in saved["opt"]["param_groups"][0]
    train(whole, opt, range(5, 11))
    resumed, other = build()
    resumed.load_state_dict(saved["model"])
    other.load_state_dict(saved["opt"])
    train(resumed, other, range(5, 11))
    assert isinstance(other.param_groups[0]["manifold"], Lorentz)
    assert equal(dict(whole.state_dict()), dict(resumed.state_dict()))
    assert equal(opt.state_dict(), other.state_dict())
    assert drift(Lorentz(), resumed.points.detach()) < 1e-14


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("make", MAKERS)
def test_copies_go_on_alike_and_apart(make: Make, copied: Callable[[Any], Any]) -> None:
    model = Table()
    opt = make([{"params": [model.points], "manifold": Lorentz()}, {"params": list(model.mix.parameters())}])
    model.train_on(opt, range(4))
    twin, other = copied((model, opt))
    assert other.param_groups[0]["params"][0] is twin.points
    model.train_on(opt, range(4, 8))
    assert not torch.equal(twin.points, model.points)
    twin.train_on(other, range(4, 8))
    assert equal(dict(model.state_dict()), dict(twin.state_dict()))


def test_the_count_of_steps_keeps_its_type() -> None:
    model = Table()
    opt = RiemannianAdam(model.parameters())
    model.train_on(opt, range(3))
    other = RiemannianAdam(model.parameters())
    other.load_state_dict(through_a_file(opt.state_dict()))
    before = opt.state_dict()["state"]
    model.train_on(other, range(3, 5))
    counts = [entries["step"] for entries in other.state.values()]
    assert [(step.dtype, step.device.type, step.item()) for step in counts] == [(torch.float32, "cpu", 5.0)] * 3
    assert [entries["step"].item() for entries in before.values()] == [3.0] * 3  # not shared with the loaded one


def test_the_states_of_other_optimizers_are_taken_over() -> None:
    """torch's Adam on plain parameters, geoopt's on a manifold (whose second moments repeat over the coordinates)."""
    torch.manual_seed(0)
    start, grads = torch.randn(5, 4, dtype=DOUBLE), [torch.randn(5, 4, dtype=DOUBLE) for _ in range(6)]
    sphere = geoopt.Sphere()
    for made, manifold in ((torch.optim.Adam, geoopt.Euclidean()), (geoopt.optim.RiemannianAdam, sphere)):
        there = geoopt.ManifoldParameter(manifold.projx(start), manifold=manifold)
        theirs = made([there], lr=0.1)
        run(theirs, there, grads[:3])
        here = geoopt.ManifoldParameter(there.detach().clone(), manifold=manifold)
        mine = RiemannianAdam([here], lr=0.3, retraction=True)
        saved = copy.deepcopy(theirs.state_dict())
        saved["param_groups"][0]["retraction"] = True
        mine.load_state_dict(saved)
        assert mine.param_groups[0]["lr"] == 0.1
        found, expected = run(mine, here, grads[3:]), run(theirs, there, grads[3:])
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", MAKERS)
def test_a_module_that_changes_its_dtype(make: Make) -> None:
    model = Table(torch.float32)
    opt = make([{"params": [model.points], "manifold": Lorentz()}, {"params": list(model.mix.parameters())}])
    model.train_on(opt, range(4))
    model.double()
    model.train_on(opt, range(4, 8))
    assert drift(Lorentz(), model.points.detach()) < 1e-14
    kinds = {value.dtype for entries in opt.state.values() for name, value in entries.items() if name != "step"}
    assert kinds <= {DOUBLE}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("make", MAKERS)
def test_a_module_that_moves_to_the_device(make: Make) -> None:
    found = []
    for device in ("cpu", "cuda"):
        model = Table()
        opt = make([{"params": [model.points], "manifold": Lorentz()}, {"params": list(model.mix.parameters())}])
        model.train_on(opt, range(3))
        model.to(device)
        for batch in range(3, 6):
            opt.zero_grad()
            rows = torch.arange(batch, 12, device=device)
            picked = nn.functional.embedding(rows, model.points, sparse=batch % 2 == 0)
            model.mix(picked).square().mean().backward()
            opt.step()
        found.append(model.points.detach().cpu())
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", MAKERS)
def test_a_compiled_step_is_the_step(make: Make) -> None:
    """geoopt's, compiled, takes the points for plain numbers and leaves the manifold."""
    ends = []
    for compiled in (False, True):
        torch._dynamo.reset()
        model = Table(sparse=False)
        opt = make(list(model.parameters()))
        step = torch.compile(lambda opt=opt: opt.step(), backend="eager") if compiled else opt.step
        for batch in range(4):
            opt.zero_grad()
            model.loss(batch).backward()
            step()
        ends.append(dict(model.state_dict()))
    assert equal(ends[0], ends[1])


# -- float32 ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "manifold"),
    [
        (lambda params: RiemannianAdam(params, lr=0.02), Lorentz()),
        (lambda params: RiemannianSGD(params, lr=0.02, momentum=0.9), Lorentz()),
        (lambda params: RiemannianAdam(params, lr=0.02, amsgrad=True), PoincareBall()),
    ],
)
def test_ten_thousand_steps_in_float32(make: Make, manifold: Any) -> None:
    """Towards fixed points, with noise; the gradients are dense and row-sparse by turns."""
    generator = torch.Generator().manual_seed(0)
    start, goal = (manifold.projx(hyperboloid_points(6, 3, 1.0, seed).float() / 4) for seed in (1, 2))
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    x, every = nn.Parameter(start.clone()), torch.arange(6)
    opt = make([{"params": [x], "manifold": manifold}])
    for number in range(10_000):
        towards = -signs * goal if isinstance(manifold, Lorentz) else x.detach() - goal
        grad, rows = towards + 0.3 * torch.randn(6, 4, generator=generator), every[number % 5 :: 2]
        sparse = torch.sparse_coo_tensor(rows[None], grad[rows], (6, 4), is_coalesced=True, check_invariants=False)
        x.grad = sparse if number % 4 else grad
        opt.step()
    assert drift(manifold, x.detach()) < 1e-6
    assert manifold.dist(x, goal).mean() < 0.3 * manifold.dist(start, goal).mean()


@pytest.mark.parametrize("radius", [1.0, 6.0, 8.0, 10.0])
@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda params: RiemannianAdam(params, lr=0.1), 300),
        (lambda params: RiemannianAdam(params, lr=0.1, amsgrad=True), 300),
        (lambda params: RiemannianSGD(params, lr=0.01, momentum=0.9), 300),
    ],
)
def test_far_points_in_float32_come_home(make: Make, steps: int, radius: float) -> None:
    """Where geoopt's are NaN from the first steps on, as of radius 7: d(x, y)^2 falls to its minimum."""
    torch.manual_seed(0)
    manifold = Lorentz()
    direction = nn.functional.normalize(torch.randn(20, 4), dim=1)
    x = nn.Parameter(manifold.expmap0(nn.functional.pad(radius * direction, (1, 0))))
    target = manifold.expmap0(nn.functional.pad(0.5 * torch.randn(20, 4), (1, 0)))
    opt = make([{"params": [x], "manifold": manifold}])
    for _ in range(steps):
        opt.zero_grad()
        manifold.dist2(x, target).sum().backward()
        opt.step()
    assert manifold.dist(x, target).max() < 0.2


@pytest.mark.parametrize("make", MAKERS)
def test_points_pushed_out_of_the_ball_stay_at_its_edge(make: Make) -> None:
    torch.manual_seed(0)
    manifold = PoincareBall()
    x = nn.Parameter(manifold.projx(torch.randn(5, 3)))
    opt = make([{"params": [x], "manifold": manifold, "lr": 5.0}])
    for _ in range(10):
        x.grad = -x.detach() * (4 / (1 - x.detach().square().sum(1, keepdim=True)).square())  # outwards at any radius
        opt.step()
    assert x.isfinite().all()
    assert drift(manifold, x.detach()) < 0
    assert manifold.dist0(x).min() > 12


def test_a_learnable_curvature_is_a_plain_parameter() -> None:
    torch.manual_seed(0)
    manifold = Lorentz(learnable=True)
    x = geoopt.ManifoldParameter(manifold.projx(torch.randn(5, 4)).detach(), manifold=manifold)
    opt = RiemannianAdam([x, *manifold.parameters()], lr=0.05)
    target = manifold.projx(torch.randn(5, 4)).detach()
    losses = []
    for _ in range(150):
        opt.zero_grad()
        loss = manifold.dist2(x, manifold.projx(target)).sum()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in manifold.parameters())
