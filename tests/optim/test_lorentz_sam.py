"""Lorentz SAM: closed forms against plain Python, against Riemannian SAM, and far from the origin in float32."""

from __future__ import annotations

from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall, lorentz_math, manifold_groups
from gsam.optim import LorentzGeometry, LorentzSAM, RiemannianAdam, RiemannianSAM, RiemannianSGD
from gsam.optim.sites import find_site
from tests.optim.manifold_problems import naive_step, point_on
from tests.optim.problems import equal

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
CURVATURES = [0.5, 1.0, 2.0]


def lorentz(c: float, source: str) -> geoopt.Manifold:
    return Lorentz(c) if source == "gsam" else geoopt.Lorentz(k=torch.tensor(1 / c, dtype=torch.float64))


class Scene:
    """Points and a plain matrix, whose loss couples them all."""

    def __init__(self, manifold: geoopt.Manifold, sparse: bool = False) -> None:
        torch.manual_seed(0)
        self.points, self.weight = point_on(manifold, 5), nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
        self.targets, self.sparse = torch.randn(5, 3, dtype=torch.float64), sparse

    def loss(self, points: Tensor, weight: Tensor) -> Tensor:
        return ((points @ weight.T - self.targets).sin() + 0.1 * (points @ weight.T).square()).sum()

    def gradients(self, points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        points, weight = points.detach().requires_grad_(), weight.detach().requires_grad_()
        return torch.autograd.grad(self.loss(points, weight), (points, weight))  # type: ignore[return-value]

    def step(self, opt: torch.optim.Optimizer) -> None:
        def closure() -> Tensor:
            opt.zero_grad()
            found = nn.functional.embedding(torch.arange(5), self.points, sparse=self.sparse)
            loss = self.loss(found, self.weight)
            loss.backward()
            return loss

        opt.step(closure)


@pytest.mark.parametrize("source", ["gsam", "geoopt"])
@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("transport", [True, False])
@pytest.mark.parametrize("per", ["all", "parameter", "row"])
def test_equals_plain_python(per: str, transport: bool, c: float, source: str) -> None:
    """Ten steps against the formulas, one point after the other; dense and row-sparse."""
    for sparse in (False, True):
        scene = Scene(lorentz(c, source), sparse)
        opt = LorentzSAM([scene.points, scene.weight], RiemannianSGD, lr=0.05, rho=0.3, per=per, transport=transport)
        points, weight = scene.points.detach().clone(), scene.weight.detach().clone()
        for _ in range(10):
            scene.step(opt)
            options: dict[str, Any] = {"c": c, "rho": 0.3, "lr": 0.05, "transport": transport, "per": per}
            points, weight = naive_step(points, weight, scene.gradients, **options)
        tolerance = 1e-7 if source == "geoopt" else 1e-9  # the base descends by geoopt's own maps
        torch.testing.assert_close(scene.points.detach(), points, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(scene.weight.detach(), weight, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("source", ["gsam", "geoopt"])
@pytest.mark.parametrize("per", ["all", "parameter", "row"])
@pytest.mark.parametrize("base", [RiemannianAdam, geoopt.optim.RiemannianAdam])
def test_equals_riemannian_sam(base: type[torch.optim.Optimizer], per: str, source: str) -> None:
    scene, twin = Scene(lorentz(0.7, source)), Scene(lorentz(0.7, source))
    opt = LorentzSAM([scene.points, scene.weight], base, lr=0.02, rho=0.3, per=per)
    other = RiemannianSAM([twin.points, twin.weight], base, lr=0.02, rho=0.3, per=per)
    for _ in range(10):
        scene.step(opt)
        twin.step(other)
    torch.testing.assert_close(scene.points.detach(), twin.points.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scene.weight.detach(), twin.weight.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("c", CURVATURES)
def test_the_ascent_stays_on_the_hyperboloid(c: float) -> None:
    scene = Scene(Lorentz(c))
    opt = LorentzSAM([scene.points, scene.weight], RiemannianSGD, rho=0.5)
    start, flat = scene.points.detach().clone(), scene.weight.detach().clone()
    scene.loss(scene.points, scene.weight).backward()
    opt.ascend()
    up = scene.points.detach()
    torch.testing.assert_close(c * lorentz_math.inner(up, up), -torch.ones(5).double(), rtol=1e-12, atol=0)
    moved = scene.points.manifold.dist(start, up).square().sum() + (scene.weight.detach() - flat).square().sum()
    assert moved.sqrt().item() == pytest.approx(0.5, rel=1e-9)


def test_the_norm_is_that_of_the_metric() -> None:
    """The sum of squares equals the indefinite form where that is exact."""
    point = point_on(Lorentz(0.7), 6)
    point.grad = torch.randn_like(point)
    site = find_site({"params": [point], "rho": 0.1, "transport": True, "per": "all"})
    geometry = LorentzGeometry()
    (vector,) = geometry.direction(site)
    assert lorentz_math.inner(point.detach(), vector).abs().max() < 1e-12
    expected = lorentz_math.inner(vector, vector)
    torch.testing.assert_close(geometry.squared_dual_norm(site), expected.sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("radius", [0.0, 2.0, 5.0, 8.0])
@pytest.mark.parametrize("c", CURVATURES)
def test_float32_far_out(radius: float, c: float) -> None:
    """Each point moves by rho, up to float32; the form of the metric alone would lose all digits there."""
    torch.manual_seed(0)
    space = nn.functional.normalize(torch.randn(50, 4, dtype=torch.float64), dim=1) * torch.tensor(radius).sinh()
    points = lorentz_math.lift(space / c**0.5, c).float()
    table = geoopt.ManifoldParameter(points.clone(), manifold=Lorentz(c))
    opt = LorentzSAM([table], RiemannianSGD, rho=0.1, per="row")
    table.grad = torch.randn_like(points)
    opt.ascend()
    exact = [lorentz_math.lift(p.detach().double()[:, 1:], c) for p in (points, table)]
    moved = lorentz_math.distance(*exact, c)
    error = torch.finfo(torch.float32).eps * torch.tensor(radius).cosh()  # what rounding a point to float32 moves it by
    assert ((moved - 0.1).abs() < 1e-5 + 10 * error / c**0.5).all()


def test_other_manifolds_are_named() -> None:
    ball = point_on(PoincareBall(), 3)
    with pytest.raises(ValueError, match=r"Lorentz manifold, found one on PoincareBall.*RiemannianSAM takes all"):
        LorentzSAM([ball], RiemannianAdam)
    plain = nn.Parameter(torch.ones(3, 4))
    with pytest.raises(ValueError, match="Sphere"):
        LorentzSAM([{"params": [plain], "manifold": geoopt.Sphere()}], RiemannianAdam)
    opt = LorentzSAM([plain], RiemannianAdam)
    with pytest.raises(ValueError, match="PoincareBall"):
        opt.add_param_group({"params": [ball]})
    with pytest.raises(ValueError, match="found 'rows'"):
        LorentzSAM([plain], RiemannianAdam, per="rows")


@pytest.mark.slow
def test_points_stay_on_the_hyperboloid() -> None:
    """10,000 steps in float32 toward moving targets: relative error of the form at most 1e-5, no NaN."""
    torch.manual_seed(0)
    c = 0.7
    table = point_on(Lorentz(c), 12, torch.float32)
    targets = point_on(Lorentz(c), 83, torch.float32).detach()
    flip = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    opt = LorentzSAM([table], RiemannianSGD, lr=0.1, rho=0.3, per="row")
    turn, start = 0, table.detach().clone()

    def closure() -> float:  # the loss -<x, t>_L: its gradient in closed form is faster than autograd
        nonlocal turn
        turn += 1
        table.grad = -flip * targets[turn % 71 : turn % 71 + 12]
        return 0.0

    for _ in range(10_000):
        opt.step(closure)
    assert turn == 20_000
    assert opt.skipped_steps == 0
    exact = table.detach().double()
    form = c * (exact[:, 1:].square().sum(1) - exact[:, 0].square())
    assert ((form + 1).abs() / (c * exact[:, 0].square())).max() < 1e-5
    assert (table.detach() - start).norm() > 0.1


def test_a_learned_curvature() -> None:
    """The points move on the manifold as it is, and the step equals that of Riemannian SAM."""
    found = []
    for kind in (LorentzSAM, RiemannianSAM):
        manifold = Lorentz(0.7, learnable=True).double()
        scene = Scene(manifold)
        opt = kind([manifold.log_c, scene.points, scene.weight], RiemannianAdam, lr=0.01, rho=0.3)

        def closure(scene: Scene = scene, opt: Any = opt, manifold: Any = manifold) -> Tensor:
            opt.zero_grad()
            loss = scene.loss(scene.points * manifold.c, scene.weight)
            loss.backward()
            return loss

        opt.step(closure)
        found.append([p.detach().clone() for p in (manifold.log_c, scene.points, scene.weight)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_the_trainer_s_way() -> None:
    """Groups of a module, row-sparse entities with a radius per row, everything else in one ball."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.entities = point_on(Lorentz(), 20)
            self.relation = nn.Parameter(torch.randn(2, 4, 4, dtype=torch.float64))
            self.bias = nn.Parameter(torch.zeros(20, 1, dtype=torch.float64))

    model = Model()
    groups = [{**group, "per": "row" if group["manifold"] else "all"} for group in manifold_groups(model)]
    opt = LorentzSAM(groups, RiemannianAdam, lr=0.05, rho=0.1)
    head, tail = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 4])
    losses, untouched = [], model.entities.detach()[10:].clone()

    def closure() -> Tensor:
        opt.zero_grad()
        h, t, bias = (
            nn.functional.embedding(i, w, sparse=True)
            for i, w in ((head, model.entities), (tail, model.entities), (tail, model.bias))
        )
        turned = nn.functional.pad((h @ model.relation[0])[:, 1:], (1, 0), value=1.0)
        score = 2 + 2 * lorentz_math.inner(turned, t) + bias.squeeze(1)
        loss = nn.functional.softplus(-score).mean()
        loss.backward()
        return loss

    for _ in range(30):
        losses.append(opt.step(closure).item())
    assert losses[-1] < 0.5 * losses[0]
    assert model.entities.grad.is_sparse
    assert equal(model.entities.detach()[10:], untouched)
