"""The Riemannian geometry: what moves how far, what comes back, and which rows."""

from __future__ import annotations

import geoopt
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gsam.manifolds import Lorentz
from gsam.optim import SAM, LorentzSAM, Riemannian, RiemannianSAM, RiemannianSGD, SharpnessAware
from tests.optim.manifold_problems import HYPERBOLIC, MANIFOLDS, Mixed, point_on
from tests.optim.problems import equal

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")


def rsam(params, *, lr: float = 0.1, **options) -> RiemannianSAM:
    return RiemannianSAM(params, RiemannianSGD, lr=lr, **options)


def climb(problem: Mixed, **options) -> tuple[RiemannianSAM, list[Tensor]]:
    opt, before = rsam(problem.params, **options), problem.weights()
    problem.loss().backward()
    assert opt.ascend()
    return opt, before


@pytest.mark.parametrize("rho", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize("names", [("lorentz",), ("lorentz", "ball", "sphere"), tuple(MANIFOLDS)], ids=len)
def test_the_product_distance_moved_is_rho(names: tuple[str, ...], rho: float) -> None:
    problem = Mixed(*names)
    _, before = climb(problem, rho=rho)
    moved = torch.cat([d.reshape(-1) for d in problem.distances(before)])
    assert moved.norm().item() == pytest.approx(rho, rel=1e-7)
    assert moved.min() > 0


@pytest.mark.parametrize("per", ["parameter", "row"])
def test_each_moves_by_rho(per: str) -> None:
    problem = Mixed(*MANIFOLDS)
    _, before = climb(problem, rho=0.2, per=per)
    *curved, matrix, vector = problem.distances(before)
    if per == "parameter":
        found = [d.norm() for d in curved] + [matrix, vector]
        torch.testing.assert_close(torch.stack(found), torch.full((len(found),), 0.2).double(), rtol=1e-6, atol=0)
        return
    for d in curved:
        torch.testing.assert_close(d, torch.full_like(d, 0.2), rtol=1e-6, atol=0)
    rows = (problem.params[-2].detach() - before[-2]).norm(dim=1)
    torch.testing.assert_close(rows, torch.full_like(rows, 0.2))
    assert vector.item() == pytest.approx(0.2)  # as a whole


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_direction_is_the_steepest(name: str) -> None:
    """Of tangent vectors of length rho, none raises the loss more, to first order."""
    problem = Mixed(name)
    before, start = problem.weights(), problem.loss().item()
    opt, _ = climb(problem, rho=1e-5)
    best = problem.loss().item() - start
    manifold, point, scale = problem.manifolds[0], before[0], 1e-5
    for seed in range(20):
        torch.manual_seed(seed)
        curved = manifold.proju(point, torch.randn_like(point))
        flat = [torch.randn_like(w) for w in before[1:]]
        square = manifold.inner(point, curved, curved, keepdim=True).sum() + sum(v.square().sum() for v in flat)
        with torch.no_grad():
            problem.params[0].copy_(manifold.expmap(point, curved * (scale / square.sqrt())))
            for p, w, v in zip(problem.params[1:], before[1:], flat, strict=True):
                p.copy_(w + v * (scale / square.sqrt()))
        assert problem.loss().item() - start < best
    with torch.no_grad():
        for p, w in zip(problem.params, before, strict=True):
            p.copy_(w)
    assert opt.skipped_steps == 0


@pytest.mark.parametrize("per", ["all", "row"])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_carried_gradient(name: str, per: str) -> None:
    """What a base makes of ``p.grad`` is the transported Riemannian gradient: tangent, and as long as it was there."""
    problem = Mixed(name)
    manifold, point = problem.manifolds[0], problem.params[0]
    opt, before = climb(problem, rho=0.5, per=per)
    problem.loss().backward()
    there, w = point.detach().clone(), before[0]
    found = manifold.egrad2rgrad(there, point.grad.clone())
    plain = [p.grad.clone() for p in problem.params[1:]]
    opt._land()
    assert torch.equal(point.detach(), w)
    back = manifold.egrad2rgrad(w, point.grad.clone())
    torch.testing.assert_close(back, manifold.transp(there, w, found), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(manifold.proju(w, back), back, rtol=1e-9, atol=1e-11)
    assert equal([p.grad for p in problem.params[1:]], plain)
    if name in HYPERBOLIC:  # where the transport is parallel
        lengths = [manifold.inner(x, v, v, keepdim=True) for x, v in ((w, back), (there, found))]
        torch.testing.assert_close(*lengths, rtol=1e-7, atol=0)


def test_without_transport_the_ambient_gradient_stays() -> None:
    problem = Mixed(*MANIFOLDS)
    opt, _ = climb(problem, rho=0.5, transport=False)
    problem.loss().backward()
    grads = [p.grad for p in problem.params]
    values = [g.clone() for g in grads]
    opt._land()
    assert all(p.grad is g for p, g in zip(problem.params, grads, strict=True))
    assert equal(grads, values)


def test_retraction() -> None:
    """The other way up: the point the manifold's ``retr`` gives."""
    manifold = geoopt.PoincareBall()  # whose retraction is addition
    torch.manual_seed(0)
    point = point_on(manifold, 5)
    start = point.detach().clone()
    opt = rsam([point], rho=0.3, retraction=True)
    point.square().sum().backward()
    grad = manifold.egrad2rgrad(start, point.grad.clone())
    opt.ascend()
    length = manifold.inner(start, grad, grad, keepdim=True).sum().sqrt()
    torch.testing.assert_close(point.detach(), start + 0.3 * grad / length)
    assert not torch.allclose(point.detach(), manifold.expmap(start, 0.3 * grad / length), atol=1e-4)


@pytest.mark.parametrize("per", ["all", "parameter", "row"])
def test_flat_manifolds_are_plain(per: str) -> None:
    """On ``geoopt.Euclidean`` of any ``ndim`` the step is that on plain parameters, bit for bit."""
    plain, named = Mixed("sphere"), Mixed("sphere")
    manifolds = [geoopt.Euclidean(), geoopt.Euclidean(ndim=1)]
    named.params[1:] = [
        geoopt.ManifoldParameter(p, manifold=m) for p, m in zip(named.params[1:], manifolds, strict=True)
    ]
    for problem in (plain, named):
        opt = rsam(problem.params, rho=0.2, per=per)
        for _ in range(3):
            opt.step(problem.closure(opt))
    assert equal(plain.weights(), named.weights())


@pytest.mark.parametrize("per", ["all", "row"])
def test_rho_zero_is_the_base(per: str) -> None:
    problem, twin = Mixed(*MANIFOLDS), Mixed(*MANIFOLDS)
    opt, base = rsam(problem.params, rho=0.0, per=per), RiemannianSGD(twin.params, lr=0.1)
    for _ in range(3):
        opt.step(problem.closure(opt))
        twin.closure(base)()
        base.step()
    assert equal(problem.weights(), twin.weights())


def test_groups_choose_for_themselves() -> None:
    """Two groups share the ball of all; a third moves each row by its own rho, and does not count in that ball."""
    problem = Mixed("lorentz", "ball")
    a, b, c, d = problem.params
    groups = [{"params": [a], "rho": 0.3}, {"params": [b], "per": "row", "rho": 0.05}, {"params": [c, d], "rho": 0.3}]
    opt, before = rsam(groups, lr=0.1), problem.weights()
    problem.loss().backward()
    opt.ascend()
    first, second, *plain = problem.distances(before)
    assert torch.stack([first.norm(), *plain]).norm().item() == pytest.approx(0.3, rel=1e-7)
    torch.testing.assert_close(second, torch.full_like(second, 0.05), rtol=1e-7, atol=0)
    with pytest.raises(ValueError, match="expected per to be 'all', 'parameter' or 'row', found 'each'"):
        rsam([{"params": [nn.Parameter(torch.ones(1))], "per": "each"}])


@pytest.mark.parametrize("per", ["all", "parameter", "row"])
def test_points_without_a_gradient_stay(per: str) -> None:
    """Zero rows of a dense gradient: not moved, not NaN, and without influence on the others."""
    torch.manual_seed(0)
    points, weight = point_on(Lorentz(), 4), nn.Parameter(torch.randn(3, 2, dtype=torch.float64))
    before = points.detach().clone(), weight.detach().clone()
    opt = rsam([points, weight], rho=0.1, per=per)
    points.grad, weight.grad = torch.randn_like(before[0]), torch.randn_like(before[1])
    points.grad[1] = 0
    weight.grad[2] = 0
    opt.ascend()
    assert torch.equal(points[1], before[0][1])
    assert torch.equal(weight[2], before[1][2])
    assert not torch.equal(points[0], before[0][0])
    assert points.isfinite().all()


def test_a_learned_curvature_does_not_climb() -> None:
    """The ball lies in the manifold as it is; the curvature gets the gradient found at the moved points."""
    manifold, twin = Lorentz(0.7, learnable=True).double(), Lorentz(0.7).double()
    torch.manual_seed(0)
    points, fixed = point_on(manifold, 4), point_on(twin, 4)
    with torch.no_grad():
        fixed.copy_(points)

    def loss(p: Tensor, c: Tensor | float) -> Tensor:
        return p[:, 1:].sin().sum() + (p[:, 1:] * c).square().sum()

    opt = rsam([manifold.log_c, points], rho=0.4)
    other = rsam([fixed], rho=0.4)
    start = manifold.log_c.detach().clone()
    loss(points, manifold.c).backward()
    loss(fixed, float(twin.c)).backward()
    with opt.perturbed(), other.perturbed():
        assert torch.equal(manifold.log_c.detach(), start)
        torch.testing.assert_close(points.detach(), fixed.detach(), rtol=1e-6, atol=1e-7)
        loss(points, manifold.c).backward()
        (expected,) = torch.autograd.grad(loss(points, manifold.c), manifold.log_c)
    assert torch.equal(manifold.log_c.grad, expected)
    manifold.log_c.grad.fill_(torch.nan)
    assert not opt.descend()


def test_a_curvature_gradient_that_is_not_finite() -> None:
    """It does not climb, yet a step is skipped for it."""
    manifold = Lorentz(0.7, learnable=True)
    points = point_on(manifold, 4, torch.float32)
    opt = rsam([manifold.log_c, points], rho=0.4)
    points.grad, manifold.log_c.grad = torch.ones_like(points), torch.tensor(torch.inf)
    assert not opt.ascend()
    assert opt.skipped_steps == 1


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="found 'each'"):
        Riemannian(per="each")


# -- row-sparse gradients ----------------------------------------------------------------------------------------------


class Table:
    """Points in an embedding table, of which each pass of each step touches some rows."""

    def __init__(self, name: str, sparse: bool) -> None:
        torch.manual_seed(0)
        self.manifold = MANIFOLDS[name]()
        self.points = point_on(self.manifold, 9)
        self.targets, self.sparse = torch.randn(9, 4, dtype=torch.float64), sparse

    def closure(self, opt: torch.optim.Optimizer, *rows: list[int]):
        """A closure whose calls touch these rows, one list after the other."""
        left = list(rows)

        def run() -> Tensor:
            opt.zero_grad()
            chosen = torch.tensor(left.pop(0), dtype=torch.long)
            found = nn.functional.embedding(chosen, self.points, sparse=self.sparse)
            loss = (found * self.targets[chosen]).sum(1).sin().sum() + 0.1 * found.square().sum()
            loss.backward()
            return loss

        return run


ROWS = [([1, 1, 2, 3, 8], [1, 2, 0, 5, 5]), ([4], [4, 4]), ([0, 7], [3]), ([], [2, 6]), ([6, 2], [])]


@pytest.mark.parametrize("transport", [True, False])
@pytest.mark.parametrize("per", ["all", "parameter", "row"])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_sparse_equals_dense(name: str, per: str, transport: bool) -> None:
    """The passes touch different rows; those that did not move need no transport. The gradient stays sparse."""
    sparse, dense = Table(name, True), Table(name, False)
    for table in (sparse, dense):
        opt = rsam([table.points], rho=0.3, per=per, transport=transport)
        for rows in ROWS[: 4 if name == "product" else 5]:  # geoopt's products take no empty tensors
            opt.step(table.closure(opt, *rows))
            assert table.points.grad.is_sparse == table.sparse
        assert opt.skipped_steps == 0
    tolerance = 1e-7 if name == "geoopt-lorentz" else 1e-10  # its step of length 0 is one of 1e-8
    torch.testing.assert_close(sparse.points.detach(), dense.points.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("first", [True, False])
def test_one_pass_dense_the_other_sparse(first: bool) -> None:
    """Whichever is sparse, the carried gradient is the same, in the layout the second pass gave it."""
    carried = []
    for layouts in ((False, False), (first, not first)):
        table = Table("lorentz", layouts[0])
        opt = rsam([table.points], rho=0.3)
        closure = table.closure(opt, [1, 2, 3], [2, 3, 4])
        closure()
        with opt.perturbed():
            table.sparse = layouts[1]
            closure()
        assert table.points.grad.is_sparse == layouts[1]
        carried.append(table.manifold.egrad2rgrad(*(t.detach().to_dense() for t in (table.points, table.points.grad))))
    torch.testing.assert_close(carried[0], carried[1], rtol=1e-12, atol=1e-13)


def test_unmoved_rows_keep_their_gradient() -> None:
    """Bit for bit, even where transport from a point to itself is NaN (geoopt's Lorentz, float32, far out)."""
    manifold = geoopt.Lorentz()
    space = torch.zeros(6, 3)
    space[:, 0] = torch.tensor([0.1, 0.2, 0.3, 0.1, 9000.0, 20000.0])
    points = geoopt.ManifoldParameter(
        torch.cat([(1 + space.square().sum(1, True)).sqrt(), space], 1), manifold=manifold
    )
    opt = rsam([points], rho=0.1)
    points.grad = torch.sparse_coo_tensor([[0, 1, 2]], torch.ones(3, 4), (6, 4))
    opt.ascend()
    points.grad = torch.sparse_coo_tensor([[1, 4, 5]], torch.ones(3, 4), (6, 4))
    opt._land()
    grad = points.grad.coalesce()
    assert grad.indices().tolist() == [[1, 4, 5]]
    assert torch.equal(grad.values()[1:], torch.ones(2, 4))
    assert grad.values().isfinite().all()
    assert not torch.equal(grad.values()[0], torch.ones(4))


@pytest.mark.parametrize("number", [0, 1])
def test_a_parameter_without_gradient_in_a_pass(number: int) -> None:
    """As with a zero gradient there."""
    missing, zero = Mixed("lorentz", "ball"), Mixed("lorentz", "ball")
    for problem in (missing, zero):
        opt = rsam(problem.params, rho=0.3)
        for turn in range(2):
            opt.zero_grad()
            problem.loss().backward()
            if turn == number:
                problem.params[0].grad = None if problem is missing else torch.zeros_like(problem.params[0])
            if turn == 0:
                opt.ascend()
        opt.descend()
    torch.testing.assert_close(missing.weights(), zero.weights(), rtol=1e-13, atol=1e-14)


# -- in the core -------------------------------------------------------------------------------------------------------


class Watch(TorchDispatchMode):
    """Notes the names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket._qualified_op_name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [RiemannianSAM, LorentzSAM])
@pytest.mark.parametrize("per", ["all", "row"])
def test_no_synchronisation_beyond_the_core(kind: type[RiemannianSAM], per: str) -> None:
    """Neither the ascent nor the return reads a number from a tensor, or counts rows."""
    table = Table("lorentz", True)
    table.manifold.checked = False  # as on any device but the CPU
    opt = kind([table.points], RiemannianSGD, lr=0.1, rho=0.3, per=per)
    closure = table.closure(opt, [1, 2], [2, 5])
    closure()
    with Watch() as ascent:
        opt.ascend()
    closure()
    with Watch() as back:
        opt._land()
    for names in (ascent.names, back.names):
        assert len(names) > 20
        assert not {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero"} & set(names)


def test_in_the_core_on_plain_parameters() -> None:
    """``SharpnessAware`` takes the geometry, and so do the variants; on plain parameters it is SAM's."""
    problem, twin = Mixed(), Mixed()
    opt = SharpnessAware(problem.params, torch.optim.Adam, lr=0.01, rho=0.1, geometry=Riemannian())
    other = SAM(twin.params, torch.optim.Adam, lr=0.01, rho=0.1)
    for _ in range(4):
        assert opt.step(problem.closure(opt)) == other.step(twin.closure(other))
    assert equal(problem.weights(), twin.weights())
