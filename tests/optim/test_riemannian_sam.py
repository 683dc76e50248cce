"""Riemannian SAM as an optimizer: bases, layouts, copies, files, compiled models, long runs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall, manifold_groups, record
from gsam.optim import SAM, LorentzSAM, RiemannianAdam, RiemannianSAM, RiemannianSGD
from tests.contracts.optimizer_cases import through_file
from tests.optim.manifold_problems import HYPERBOLIC, MANIFOLDS, Mixed, point_on
from tests.optim.problems import equal

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
BASES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (RiemannianSGD, {}),
    "momentum": (RiemannianSGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (RiemannianAdam, {}),
    "amsgrad": (RiemannianAdam, {"amsgrad": True, "weight_decay": 0.1}),
    "geoopt-sgd": (geoopt.optim.RiemannianSGD, {}),  # its momentum begins with p.grad, as if that were a vector
    "geoopt-adam": (geoopt.optim.RiemannianAdam, {"weight_decay": 0.1, "stabilize": 2}),
}
SPARSE = {"geoopt-sgd": geoopt.optim.SparseRiemannianSGD, "geoopt-adam": geoopt.optim.SparseRiemannianAdam}


@pytest.mark.parametrize("per", ["all", "row"])
@pytest.mark.parametrize("name", BASES)
def test_equals_a_step_by_hand(name: str, per: str) -> None:
    """The same base on the twin, given the transported Riemannian gradient of a hand-made perturbation."""
    names = ("lorentz", "geoopt-lorentz", "ball", "sphere")
    problem, twin = Mixed(*names), Mixed(*names)
    kind, options = BASES[name]
    opt = RiemannianSAM(problem.params, kind, lr=0.05, rho=0.3, per=per, **options)
    base = kind(twin.params, lr=0.05, **options)
    for _ in range(4):
        opt.step(problem.closure(opt))
        by_hand(twin, base, per)
        torch.testing.assert_close(problem.weights(), twin.weights(), rtol=1e-8, atol=1e-9)
    assert opt.skipped_steps == 0


def by_hand(problem: Mixed, base: torch.optim.Optimizer, per: str, rho: float = 0.3) -> None:
    """One manifold after the other, the covector back from the definition: solve for it in a basis."""
    manifolds = [*problem.manifolds, geoopt.Euclidean(ndim=1), geoopt.Euclidean(ndim=1)]
    grads = [g.clone() for g in torch.autograd.grad(problem.loss(), problem.params)]
    before = problem.weights()
    vectors = [m.egrad2rgrad(w, g) for m, w, g in zip(manifolds, before, grads, strict=True)]
    squares = [m.inner(w, v, v, keepdim=True) for m, w, v in zip(manifolds, before, vectors, strict=True)]
    total = sum(s.sum() for s in squares)
    with torch.no_grad():
        for m, p, w, v, s in zip(manifolds, problem.params, before, vectors, squares, strict=True):
            p.copy_(m.expmap(w, rho * v / (total if per == "all" else s).sqrt()))
    above = problem.weights()
    grads = [g.clone() for g in torch.autograd.grad(problem.loss(), problem.params)]
    with torch.no_grad():
        for m, p, w, up, g in zip(manifolds, problem.params, before, above, grads, strict=True):
            p.copy_(w)
            back = m.transp(up, w, m.egrad2rgrad(up, g))
            p.grad = covector(m, w, back)
    base.step()


def covector(manifold: geoopt.Manifold, point: Tensor, vector: Tensor) -> Tensor:
    """Entry i of e is the product of the vector with the tangent part of the i-th basis vector."""
    found = torch.zeros_like(vector)
    for i in range(vector.shape[-1]):
        unit = torch.zeros_like(vector)
        unit[..., i] = 1
        found[..., i] = manifold.inner(point, vector, manifold.proju(point, unit), keepdim=True).squeeze(-1)
    return found


@pytest.mark.parametrize("name", ["sgd", "adam", "geoopt-sgd", "geoopt-adam"])
def test_row_sparse_tables(name: str) -> None:
    """The sparse bases of geoopt, and ours, whose classes take both; each against the dense gradients of its rows."""
    kind = SPARSE.get(name, BASES[name][0])
    torch.manual_seed(0)
    manifold = MANIFOLDS["geoopt-lorentz"]()
    table, rows = point_on(manifold, 9), torch.tensor([1, 3, 3, 4])
    touched = geoopt.ManifoldParameter(table.detach()[[1, 3, 4]].clone(), manifold=manifold)  # nothing but those
    before = table.detach().clone()
    opt = RiemannianSAM([table], kind, lr=0.05, rho=0.3)
    other = RiemannianSAM([touched], BASES[name][0], lr=0.05, rho=0.3)

    def closure(points: Tensor, chosen: Tensor, optimizer: torch.optim.Optimizer, sparse: bool):
        def run() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.embedding(chosen, points, sparse=sparse).sin().square().sum()
            loss.backward()
            return loss

        return run

    for _ in range(4):
        opt.step(closure(table, rows, opt, True))
        other.step(closure(touched, torch.tensor([0, 1, 1, 2]), other, False))
    assert table.grad.is_sparse
    torch.testing.assert_close(table.detach()[[1, 3, 4]], touched.detach(), rtol=1e-9, atol=1e-10)
    untouched = [0, 2, 5, 6, 7, 8]
    assert torch.equal(table.detach()[untouched], before[untouched])


@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_equals_sam_on_euclidean_manifolds(base: str) -> None:
    plain, named = Mixed(), Mixed()
    named.params = [geoopt.ManifoldParameter(p, manifold=geoopt.Euclidean(ndim=1)) for p in named.params]
    kind, options = BASES[base]
    opt = RiemannianSAM(named.params, kind, lr=0.05, rho=0.3, **options)
    torch_kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[base]
    other = SAM(plain.params, torch_kind, lr=0.05, rho=0.3)
    for _ in range(6):
        opt.step(named.closure(opt))
        other.step(plain.closure(other))
    torch.testing.assert_close(named.weights(), plain.weights(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BASES)
def test_gradients_are_never_corrupted(name: str) -> None:
    """What a hook or the closure kept of either pass stays, and so does the final gradient through the descent."""
    problem = Mixed("lorentz", "geoopt-lorentz", "geoopt-ball", "product")
    kind, options = BASES[name]
    opt = RiemannianSAM(problem.params, kind, lr=0.05, rho=0.3, **options)
    kept: list[Tensor] = []
    values: list[Tensor] = []

    def keep() -> None:
        kept.extend(p.grad for p in problem.params)
        values.extend(p.grad.clone() for p in problem.params)

    for _ in range(2):
        opt.zero_grad()
        problem.loss().backward()
        keep()
        with opt.perturbed():
            problem.loss().backward()
            keep()
        keep()
        opt.descend()
        assert all(p.grad is g for p, g in zip(problem.params, kept[-len(problem.params) :], strict=True))
    assert equal(kept, values)


def test_max_grad_norm_is_riemannian() -> None:
    """The vector the base steps along is shortened to the bound, in the product metric; dense and row-sparse."""
    problem = Mixed("lorentz", "ball")
    opt = RiemannianSAM(problem.params, RiemannianSGD, lr=1.0, rho=0.2, max_grad_norm=0.03)
    before = problem.weights()
    opt.step(problem.closure(opt))
    moved = torch.cat([d.reshape(-1) for d in problem.distances(before)])
    assert moved.norm().item() == pytest.approx(0.03, rel=1e-7)
    table = point_on(Lorentz(), 5)
    opt = RiemannianSAM([table], RiemannianSGD, lr=1.0, max_grad_norm=0.03)
    start = table.detach().clone()
    nn.functional.embedding(torch.tensor([1, 1, 4]), table, sparse=True).sum().backward()
    assert opt.descend()
    assert table.manifold.dist(start, table.detach()).norm().item() == pytest.approx(0.03, rel=1e-7)


def test_max_grad_norm_without_gradients() -> None:
    opt = RiemannianSAM([point_on(Lorentz(), 3)], RiemannianSGD, max_grad_norm=1.0)
    assert opt.descend()


def test_bases_that_would_leave_the_manifold() -> None:
    point = point_on(Lorentz(), 3)
    with pytest.raises(ValueError, match="torch's Adam, whose steps leave"):
        RiemannianSAM([point], torch.optim.Adam, lr=0.1)
    weight = nn.Parameter(torch.ones(2))
    opt = RiemannianSAM([weight], torch.optim.Adam, lr=0.1)
    with pytest.raises(ValueError, match="torch's Adam, whose steps leave"):
        opt.add_param_group({"params": point})
    assert len(opt.param_groups) == 1
    opt.add_param_group({"params": iter([nn.Parameter(torch.ones(3))])})
    assert [len(group["params"]) for group in opt.param_groups] == [1, 1]


# -- models ------------------------------------------------------------------------------------------------------------


class Embedding(nn.Module):
    """Points in a table, and a linear map of their space coordinates."""

    def __init__(self, manifold: geoopt.Manifold, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.points = point_on(manifold, 6, dtype)
        self.linear = nn.Linear(4, 2, dtype=dtype)
        record(self, "points", manifold)

    def forward(self) -> Tensor:
        return self.linear(self.points).tanh().square().sum()


def train(model: nn.Module, opt: torch.optim.Optimizer, steps: int, call: Any = None) -> list[Tensor]:
    def closure() -> Tensor:
        opt.zero_grad()
        loss = (model if call is None else call)()
        loss.backward()
        return loss

    for _ in range(steps):
        opt.step(closure)
    return [p.detach().clone() for p in model.parameters()]


def built(model: nn.Module, kind: type[RiemannianSAM] = RiemannianSAM, **options: Any) -> RiemannianSAM:
    return kind(manifold_groups(model), RiemannianAdam, **{"lr": 0.05, "rho": 0.2, **options})


@pytest.mark.parametrize("kind", [RiemannianSAM, LorentzSAM])
def test_assigned_states_and_groups(kind: type[RiemannianSAM]) -> None:
    """``load_state_dict(assign=True)`` makes plain parameters of the points; the groups still know."""
    model, other = Embedding(Lorentz(0.7)), Embedding(Lorentz(0.7))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    other.load_state_dict(state, assign=True)
    assert not isinstance(other.points, geoopt.ManifoldParameter)
    found = train(other, built(other, kind), 5)
    assert equal(found, train(model, built(model, kind), 5))
    form = found[0][:, 1:].square().sum(1) - found[0][:, 0].square()
    torch.testing.assert_close(form, torch.full_like(form, -1 / 0.7))


def test_a_base_instance_over_groups() -> None:
    model, twin = Embedding(Lorentz()), Embedding(Lorentz())
    twin.load_state_dict(twin.state_dict(), assign=True)
    base = RiemannianAdam(manifold_groups(twin), lr=0.05)
    found = train(twin, RiemannianSAM(twin.parameters(), base, rho=0.2), 4)
    assert equal(found, train(model, built(model), 4))


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("grouped", [True, False])
def test_copies(way: str, grouped: bool) -> None:
    model = Embedding(PoincareBall(1.3))
    if grouped:
        model.load_state_dict(model.state_dict(), assign=True)
    opt = built(model, per="row")
    train(model, opt, 3)
    pair = copy.deepcopy((model, opt)) if way == "deepcopy" else pickle.loads(pickle.dumps((model, opt)))
    found = train(*pair, 3)
    assert equal(found, train(model, opt, 3))
    assert all(
        p is q for group in pair[1].param_groups for p in group["params"] for q in pair[0].parameters() if p is q
    )


@pytest.mark.parametrize("base", [RiemannianAdam, geoopt.optim.RiemannianAdam])
def test_files(base: type[torch.optim.Optimizer]) -> None:
    """The manifold is not in the state, which the safe unpickler reads; groups keep theirs, and training goes on."""
    straight, first, second = (Embedding(Lorentz(0.7)) for _ in range(3))
    options: dict[str, Any] = {"lr": 0.05, "rho": 0.2, "per": "row", "transport": False}
    expected = train(straight, RiemannianSAM(manifold_groups(straight), base, **options), 8)
    opt = RiemannianSAM(manifold_groups(first), base, **options)
    train(first, opt, 4)
    saved = through_file({"model": first.state_dict(), "opt": opt.state_dict()})
    assert all("manifold" not in group for group in saved["opt"]["param_groups"])
    assert [group["per"] for group in saved["opt"]["param_groups"]] == ["row", "row"]
    second.load_state_dict(saved["model"])
    opt = RiemannianSAM(manifold_groups(second), base, lr=1.0, rho=1.0)
    manifolds = [group["manifold"] for group in opt.param_groups]
    opt.load_state_dict(saved["opt"])
    assert [group["manifold"] for group in opt.param_groups] == manifolds
    found = train(second, opt, 4)
    if base is RiemannianAdam:
        assert equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [RiemannianSAM, LorentzSAM])
def test_compiled_model(kind: type[RiemannianSAM]) -> None:
    model, twin = Embedding(Lorentz()), Embedding(Lorentz())
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found = train(model, built(model, kind, module=model), 3, compiled)
    torch.testing.assert_close(found, train(twin, built(twin, kind), 3), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("before", [True, False])
def test_dtype_moves(before: bool) -> None:
    """A float32 model made double, before or after the optimizer is built around it."""
    model, exact = Embedding(Lorentz(0.7), torch.float32), Embedding(Lorentz(0.7))
    exact.load_state_dict(model.state_dict())
    opt = None if before else built(model)
    model.double()
    found = train(model, opt or built(model), 4)
    assert {p.dtype for p in found} == {torch.float64}
    assert equal(found, train(exact, built(exact), 4))


@pytest.mark.parametrize("per", ["all", "row"])
def test_single_precision(per: str) -> None:
    """The first step agrees with float64 to the precision of float32."""
    low, exact = Mixed("lorentz", "ball", dtype=torch.float32), Mixed("lorentz", "ball")
    with torch.no_grad():
        for mine, theirs in zip(low.params, exact.params, strict=True):
            theirs.copy_(mine)
        exact.coefficients = [c.double() for c in low.coefficients]
    start = torch.cat([w.reshape(-1) for w in exact.weights()])
    for problem in (low, exact):
        opt = RiemannianSAM(problem.params, RiemannianSGD, lr=0.3, rho=0.3, per=per)
        opt.step(problem.closure(opt))
    found, expected = (torch.cat([w.reshape(-1).double() for w in p.weights()]) for p in (low, exact))
    assert {p.dtype for p in low.params} == {torch.float32}
    assert (found - expected).norm() < 40 * torch.finfo(torch.float32).eps * (expected - start).norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", HYPERBOLIC)
def test_half_precision_points_are_refused(name: str, dtype: torch.dtype) -> None:
    """By the optimizers that would move them; plain parameters beside them may have any dtype."""
    points = point_on(MANIFOLDS[name](), 3, torch.float32)
    plain = torch.nn.Parameter(torch.randn(3, dtype=dtype))
    assert RiemannianSAM([points, plain], RiemannianSGD, lr=0.1)
    low = geoopt.ManifoldParameter(points.detach().to(dtype), manifold=points.manifold)
    for base in (RiemannianSGD, RiemannianAdam, geoopt.optim.RiemannianSGD):
        with pytest.raises(
            ValueError, match=r"float32 or float64, found torch\.\w*float16; keep the weights in float32"
        ):
            RiemannianSAM([low, plain], base, lr=0.1)


@pytest.mark.slow
def test_points_stay_on_their_manifolds() -> None:
    """10,000 steps in float32 along noisy gradients."""
    torch.manual_seed(0)
    points = point_on(PoincareBall(1.3), 4, torch.float32)
    noise = torch.randn(101, 4, 4)
    opt = RiemannianSAM([points], RiemannianSGD, lr=0.1, rho=0.2, per="row")
    turn, furthest = 0, 0.0

    def closure() -> float:
        nonlocal turn, furthest
        turn += 1
        if turn % 100 == 0:
            furthest = max(furthest, 1.3 * points.detach().square().sum(1).max().item())
        points.grad = noise[turn % 101] + points.detach()
        return 0.0

    for _ in range(10_000):
        opt.step(closure)
    assert turn == 20_000
    assert opt.skipped_steps == 0
    assert points.isfinite().all()
    assert 0.1 < furthest < 1  # they did go somewhere
