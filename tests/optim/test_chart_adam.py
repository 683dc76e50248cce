from __future__ import annotations

from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall, lorentz_math
from gsam.optim import ChartAdam, LorentzSAM
from gsam.optim.riemannian_adam import RiemannianAdam
from tests.optim.riemannian_naive import DOUBLE, dense, hyperboloid_points, row_sparse, run, touched_rows

BETAS = (0.9, 0.99)


def target(points: Tensor, anchors: Tensor) -> Tensor:
    """A function of all coordinates, time included."""
    return (points - anchors).square().sum() + (points[:, 0] * points[:, 1]).sin().sum()


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("c", [0.5, 2.0])
@pytest.mark.parametrize("made", [lambda c: geoopt.Lorentz(torch.tensor(1 / c, dtype=DOUBLE)), Lorentz])
def test_it_is_adam_on_the_space_coordinates(made: Any, c: float, amsgrad: bool) -> None:
    start, anchors = hyperboloid_points(6, 3, c), hyperboloid_points(6, 3, c).flip(0)
    x = geoopt.ManifoldParameter(start.clone(), manifold=made(c))
    space = nn.Parameter(start[:, 1:].clone())
    mine = ChartAdam([x], lr=0.1, betas=BETAS, amsgrad=amsgrad)
    other = torch.optim.Adam([space], lr=0.1, betas=BETAS, amsgrad=amsgrad)
    for _ in range(25):
        mine.zero_grad()
        target(x, anchors).backward()
        mine.step()
        other.zero_grad()
        target(lorentz_math.lift(space, c), anchors).backward()
        other.step()
    torch.testing.assert_close(x.detach(), lorentz_math.lift(space, c).detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_all_representatives_of_a_covector_give_one_step(amsgrad: bool) -> None:
    """What is added along the normal acts on no tangent vector."""
    start = hyperboloid_points(5, 3, 1.0)
    torch.manual_seed(1)
    found = []
    grads = [torch.randn(5, 4, dtype=DOUBLE) for _ in range(6)]
    for factor in (0.0, 3.0):
        x = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
        opt = ChartAdam([x], lr=0.1, amsgrad=amsgrad)
        for grad in grads:
            normal = torch.cat([-x[:, :1], x[:, 1:]], 1).detach()
            x.grad = grad + factor * normal
            opt.step()
        found.append(x.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_row_sparse_steps_move_the_touched_rows_as_alone() -> None:
    start, steps = hyperboloid_points(7, 3, 1.0), touched_rows(7, 4, 12, 0.4)
    table = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
    found = run(ChartAdam([table], lr=0.05, lazy=True), table, [row_sparse(touched, start) for touched in steps])
    alone = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
    opt = ChartAdam([alone], lr=0.05)
    for touched in steps:  # every row by itself, with the common count of steps
        before, state = alone.detach().clone(), {k: v.clone() for k, v in opt.state.get(alone, {}).items()}
        alone.grad = dense(touched, start)
        opt.step()
        still = [row for row in range(7) if row not in touched]
        with torch.no_grad():
            alone[still] = before[still]
            for name in ("exp_avg", "exp_avg_sq"):
                old = state.get(name, torch.zeros_like(before))
                opt.state[alone][name][still] = old[still]
    torch.testing.assert_close(found, alone.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"weight_decay": 0.0, "maximize": True}])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_row_sparse_gradients_count_as_dense_ones(options: dict[str, Any], dtype: torch.dtype) -> None:
    start, steps = hyperboloid_points(7, 3, 1.0).to(dtype), touched_rows(7, 4, 12, 0.4)
    found = []
    for kind in (row_sparse, dense):
        x = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
        opt = ChartAdam([x], lr=0.05, betas=BETAS, **options)
        assert opt.moves_untouched_rows
        found.append(run(opt, x, [kind(touched, start) for touched in steps]))
    tight = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found[0], found[1], rtol=tight, atol=tight)
    assert not ChartAdam([x], lazy=True).moves_untouched_rows


def test_plain_parameters_are_those_of_riemannian_adam() -> None:
    torch.manual_seed(0)
    start, steps = torch.randn(5, 3, dtype=DOUBLE), touched_rows(5, 3, 6, 0.5)
    found = []
    for kind in (lambda p, lr: ChartAdam(p, lr, lazy=True), RiemannianAdam):
        x = nn.Parameter(start.clone())
        grads = [(row_sparse if i % 2 else dense)(touched, start) for i, touched in enumerate(steps)]
        found.append(run(kind([x], lr=0.05), x, grads))
    assert torch.equal(found[0], found[1])


def test_points_stay_on_the_hyperboloid_in_float32() -> None:
    torch.manual_seed(0)
    x = geoopt.ManifoldParameter(hyperboloid_points(50, 8, 1.0).float(), manifold=Lorentz())
    opt = LorentzSAM([x], ChartAdam, lr=0.02, rho=0.3)
    anchors = 2 * torch.randn(50, 8)

    def closure() -> Tensor:
        opt.zero_grad()
        loss = (x[:, 1:] - anchors).square().sum() + x[:, 0].sum()
        loss.backward()
        return loss.detach()

    before = float(closure())
    for _ in range(2000):
        after = opt.step(closure)
    assert float(after) < 0.7 * before
    expected = lorentz_math.lift(x[:, 1:].double(), 1.0)
    torch.testing.assert_close(x.detach().double(), expected, rtol=1e-6, atol=0)


def test_training_goes_on_from_a_saved_state() -> None:
    start, steps = hyperboloid_points(6, 3, 1.0), touched_rows(6, 4, 10, 0.5)
    grads = [row_sparse(touched, start) for touched in steps]
    whole = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
    expected = run(ChartAdam([whole], lr=0.05), whole, grads)
    first = geoopt.ManifoldParameter(start.clone(), manifold=Lorentz())
    opt = ChartAdam([first], lr=0.05)
    run(opt, first, grads[:5])
    second = geoopt.ManifoldParameter(first.detach().clone(), manifold=Lorentz())
    other = ChartAdam([second], lr=0.05)
    other.load_state_dict(opt.state_dict())
    assert torch.equal(run(other, second, grads[5:]), expected)


@pytest.mark.parametrize("manifold", [PoincareBall(), geoopt.Sphere()])
def test_other_manifolds_are_refused(manifold: Any) -> None:
    x = geoopt.ManifoldParameter(torch.tensor([[0.6, 0.8]]) * 0.5, manifold=PoincareBall())
    x = x if isinstance(manifold, PoincareBall) else geoopt.ManifoldParameter(2 * x.detach(), manifold=manifold)
    with pytest.raises(ValueError, match="points on a Lorentz manifold, found one on"):
        ChartAdam([x])
