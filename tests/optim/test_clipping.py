from __future__ import annotations

import math
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall, manifold_groups
from gsam.optim import LorentzSAM, RiemannianAdam, RiemannianSAM, RiemannianSGD, clip_grad_norm_
from tests.optim.manifold_problems import MANIFOLDS, Mixed, point_on

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")


def riemannian_norm(params: list[Any]) -> float:
    """Point by point, by geoopt's own products; plain parameters by their squares."""
    total = 0.0
    for param in params:
        grad = param.grad.to_dense()
        manifold = getattr(param, "manifold", None)
        if manifold is None:
            total += grad.square().sum().item()
            continue
        for point, covector in zip(param.detach(), grad, strict=True):
            vector = manifold.egrad2rgrad(point[None], covector[None].clone())
            total += manifold.inner(point[None], vector, vector).sum().item()
    return math.sqrt(total)


@pytest.mark.parametrize(
    "names", [("lorentz", "ball"), ("geoopt-lorentz", "geoopt-ball"), ("sphere", "scaled"), ()], ids=str
)
@pytest.mark.parametrize("base", [RiemannianAdam, RiemannianSGD])
def test_norm_and_scale(base: type[torch.optim.Optimizer], names: tuple[str, ...]) -> None:
    problem = Mixed(*names)
    opt = base(problem.params, lr=0.1)  # type: ignore[call-arg]
    problem.closure(opt)()
    true, before = riemannian_norm(problem.params), [p.grad.clone() for p in problem.params]
    for bound in (2 * true, true / 3):
        found = clip_grad_norm_(opt, bound)
        assert found.item() == pytest.approx(true, rel=1e-12)
        factor = min(1.0, bound / true)
        torch.testing.assert_close([p.grad for p in problem.params], [g * factor for g in before])
    assert riemannian_norm(problem.params) == pytest.approx(true / 3)


def test_closed_form_on_the_hyperboloid() -> None:
    """One point at distance r, the gradient along the radius: its norm has a cosh that Euclid's has not."""
    r = 2.0
    point = geoopt.ManifoldParameter(
        torch.tensor([[math.cosh(r), math.sinh(r)]], dtype=torch.float64), manifold=Lorentz()
    )
    point.grad = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    assert clip_grad_norm_(RiemannianSGD([point], lr=1.0), 1.0).item() == pytest.approx(3.0 * math.cosh(r), rel=1e-12)
    assert point.grad[0, 1].item() == pytest.approx(1 / math.cosh(r), rel=1e-12)


def test_plain_parameters_are_clipped_as_by_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(4))] for _ in range(2))
    for a, b in zip(ours, theirs, strict=True):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    found, expected = clip_grad_norm_(torch.optim.SGD(ours), 0.5), nn.utils.clip_grad_norm_(theirs, 0.5)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close([p.grad for p in ours], [p.grad for p in theirs], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [Lorentz, PoincareBall])
def test_row_sparse_gradients(kind: type[Any]) -> None:
    """A row that occurs twice counts once, with the sum."""
    manifold = kind(0.7)
    sparse, dense = (geoopt.ManifoldParameter(point_on(manifold, 6).detach().clone(), manifold=manifold) for _ in "ab")
    with torch.no_grad():
        dense.copy_(sparse)
    rows, entries = torch.tensor([[4, 1, 4]]), torch.randn(3, 4, dtype=torch.float64)
    sparse.grad = torch.sparse_coo_tensor(rows, entries, (6, 4))
    dense.grad = sparse.grad.to_dense()
    found = [clip_grad_norm_(RiemannianSGD([p], lr=0.1), 0.1).item() for p in (sparse, dense)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    torch.testing.assert_close(sparse.grad.to_dense(), dense.grad)
    assert riemannian_norm([dense]) == pytest.approx(0.1)


def test_edges() -> None:
    opt = RiemannianSGD([nn.Parameter(torch.ones(2))], lr=0.1)
    assert clip_grad_norm_(opt, 1.0).item() == 0.0
    (param,) = opt.param_groups[0]["params"]
    param.grad = torch.tensor([1.0, math.nan])
    assert clip_grad_norm_(opt, 1.0).isnan()
    assert param.grad.isnan().all()
    with pytest.raises(ValueError, match="> 0"):
        clip_grad_norm_(opt, 0.0)


@pytest.mark.parametrize("kind", [RiemannianSAM, LorentzSAM])
@pytest.mark.parametrize("base", [RiemannianAdam, RiemannianSGD])
def test_by_hand_equals_max_grad_norm(kind: type[RiemannianSAM], base: type[torch.optim.Optimizer]) -> None:
    """Between the passes and ``descend()``."""
    bound, found = 0.2, []
    for by_hand in (True, False):
        problem = Mixed("lorentz")
        opt = kind(problem.params, base, lr=0.1, rho=0.2, max_grad_norm=None if by_hand else bound)
        for _ in range(3):
            problem.closure(opt)()
            with opt.perturbed():
                problem.loss().backward()
            if by_hand:
                assert clip_grad_norm_(opt, bound) > bound
                assert riemannian_norm(problem.params) == pytest.approx(bound)
            opt.descend()
        found.append(problem.weights())
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [RiemannianSAM, LorentzSAM])
def test_accumulation_equals_the_joint_batch(kind: type[RiemannianSAM]) -> None:
    """Halves of a batch in both passes, clipped once: the step of the whole batch."""
    found = []
    for parts in (1, 2):
        torch.manual_seed(0)
        points, plain = point_on(MANIFOLDS["lorentz"](), 5), nn.Parameter(torch.randn(4, dtype=torch.float64))
        targets = torch.randn(8, 4, dtype=torch.float64)
        opt = kind([points, plain], RiemannianAdam, lr=0.1, rho=0.2)

        def backward(points: Any = points, plain: Any = plain, targets: Tensor = targets, parts: int = parts) -> None:
            for part in targets.chunk(parts):
                (((points * plain) @ part.T).tanh().square().mean() / parts).backward()

        for _ in range(3):
            opt.zero_grad()
            backward()
            with opt.perturbed():
                backward()
            clip_grad_norm_(opt, 0.05)
            opt.descend()
        found.append([points.detach(), plain.detach()])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_groups_of_a_model() -> None:
    """The manifold is the group's, also of a parameter that no longer knows it."""
    model = nn.Module()
    model.points = point_on(Lorentz(0.7), 3)
    opt = RiemannianSGD(manifold_groups(model), lr=0.1)
    model.points.grad = torch.randn(3, 4, dtype=torch.float64)
    true = riemannian_norm([model.points])
    bare = nn.Parameter(model.points.detach().clone().as_subclass(Tensor))
    bare.grad = model.points.grad.clone()
    other = RiemannianSGD([{"params": [bare], "manifold": model.points.manifold}], lr=0.1)
    assert clip_grad_norm_(opt, 9e9).item() == pytest.approx(true)
    assert clip_grad_norm_(other, 9e9).item() == pytest.approx(true)
