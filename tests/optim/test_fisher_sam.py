"""Fisher SAM: the ball of its metric, its limits, and the scale of a loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gsam.optim import ESAM, SAM, Fisher, FisherSAM
from gsam.optim.sites import find_site
from tests.optim.problems import Problem, equal, flat


def ascended(problem: Problem, **options) -> tuple[Tensor, Tensor, FisherSAM]:
    """The gradient, and the perturbation made along it."""
    opt = FisherSAM(problem.params, torch.optim.SGD, lr=0.1, **options)
    problem.loss().backward()
    before, grad = flat(problem.params), flat([p.grad for p in problem.params])
    assert opt.ascend()
    return grad, flat(problem.params) - before, opt


@pytest.mark.parametrize("eta", [0.0, 0.1, 1.0, 1e4])
@pytest.mark.parametrize("rho", [1e-3, 0.05, 2.0])
def test_the_ball(rho: float, eta: float) -> None:
    r""":math:`\epsilon^\top F \epsilon = \rho^2`, and no other point of the ball has a larger product with g."""
    g, eps, _ = ascended(Problem(), rho=rho, eta=eta)
    metric = 1 + eta * g.square()
    assert (eps * metric * eps).sum().item() == pytest.approx(rho**2, rel=1e-12)
    best = (g @ eps).item()
    for _ in range(50):
        other = torch.randn_like(eps)
        other *= rho / (other * metric * other).sum().sqrt()
        assert (g @ other).item() < best


@pytest.mark.parametrize("eta", [0.3, 50.0])
def test_equals_the_formula(eta: float) -> None:
    problem, twin = Problem(), Problem()
    opt = FisherSAM(problem.params, torch.optim.SGD, lr=0.1, rho=0.2, eta=eta)
    for _ in range(4):
        problem.step(opt)
        grads, before = twin.gradient(), twin.weights()
        inverse = [1 / (1 + eta * g**2) for g in grads]
        length = math.sqrt(sum((g * i * g).sum().item() for g, i in zip(grads, inverse, strict=True)))
        with torch.no_grad():
            for p, g, i in zip(twin.params, grads, inverse, strict=True):
                p += 0.2 * i * g / length
        grads = twin.gradient()
        with torch.no_grad():
            for p, w, g in zip(twin.params, before, grads, strict=True):
                p.copy_(w - 0.1 * g)
    torch.testing.assert_close(problem.weights(), twin.weights(), rtol=1e-12, atol=1e-13)


def test_large_eta_moves_small_gradients_most() -> None:
    """There the direction is 1 / g."""
    g, eps, _ = ascended(Problem(), rho=0.1, eta=1e12)
    large = g.abs() > 1e-4
    assert large.sum() > 10
    ratio = (eps * g)[large]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)


@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.Adam])
def test_eta_zero_is_sam(base: type[torch.optim.Optimizer]) -> None:
    problem, twin = Problem(dtype=torch.float32), Problem(dtype=torch.float32)
    opt, other = FisherSAM(problem.params, base, lr=0.01, eta=0.0), SAM(twin.params, base, lr=0.01)
    for _ in range(5):
        assert torch.equal(problem.step(opt), twin.step(other))
    assert equal(problem.weights(), twin.weights())


def test_eta_lives_in_the_group() -> None:
    """One denominator for all parameters, though their metrics differ."""
    problem = Problem()
    groups = [{"params": problem.params[:2], "eta": 0.0}, {"params": problem.params[2:]}]
    opt = FisherSAM(groups, torch.optim.SGD, lr=0.1, rho=0.3, eta=100.0)
    problem.loss().backward()
    before, grads = problem.weights(), [p.grad.clone() for p in problem.params]
    opt.ascend()
    metric = [1 + eta * g**2 for eta, g in zip([0.0, 0.0, 100.0, 100.0], grads, strict=True)]
    shift = [p.detach() - w for p, w in zip(problem.params, before, strict=True)]
    assert sum((e * m * e).sum().item() for e, m in zip(shift, metric, strict=True)) == pytest.approx(0.09, rel=1e-12)
    ratios = torch.cat([(e * m / g).reshape(-1) for e, m, g in zip(shift, metric, grads, strict=True)])
    torch.testing.assert_close(ratios, ratios[0].expand_as(ratios), rtol=1e-9, atol=0)


def test_the_scale_of_the_loss() -> None:
    """Scaled by hand, the ball differs unless the factor is named; then it is the same, bit for bit."""
    _, plain, _ = ascended(Problem(), rho=0.2, eta=50.0)
    shifts = []
    for scale in (1.0, 1024.0):
        problem = Problem()
        opt = FisherSAM(problem.params, torch.optim.SGD, lr=0.1, rho=0.2, eta=50.0)
        opt.geometry.loss_scale = scale
        (1024 * problem.loss()).backward()
        before = flat(problem.params)
        opt.ascend()
        shifts.append(flat(problem.params) - before)
    assert torch.equal(shifts[1], plain)
    assert not torch.allclose(shifts[0], plain, rtol=0.1)


def test_a_scaler_is_undone_for_its_step_only() -> None:
    problem = Problem()
    opt = FisherSAM(problem.params, torch.optim.SGD, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    seen = []
    problem.after = lambda _: seen.append(opt.geometry.loss_scale)
    problem.step(opt, scaler=scaler)
    problem.step(opt)
    assert seen == [64.0, 64.0, 1.0, 1.0]
    problem.after = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        problem.step(opt, scaler=scaler)
    assert opt.geometry.loss_scale == 1.0


def test_inside_another_variant() -> None:
    """ESAM hands the scale, and the check of a group, to the geometry it thins."""
    problem, twin = Problem(), Problem()
    opt = ESAM(problem.params, torch.optim.SGD, lr=0.1, rho=0.2, beta=1.0, gamma=1.0, geometry=Fisher(50.0))
    other = FisherSAM(twin.params, torch.optim.SGD, lr=0.1, rho=0.2, eta=50.0)
    for _ in range(3):
        problem.step(opt, scaler=torch.amp.GradScaler("cpu", init_scale=64.0))
        twin.step(other)
    assert equal(problem.weights(), twin.weights())
    with pytest.raises(ValueError, match="eta"):
        opt.add_param_group({"params": [nn.Parameter(torch.ones(1))], "eta": -1.0})


def test_an_infinite_gradient_is_not_hidden() -> None:
    """F^-1 g tends to 0 there."""
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.tensor([1.0, math.inf, 1.0])
    site = find_site({"params": [weight], "rho": 0.1, "eta": 1.0})
    assert not Fisher().squared_dual_norm(site).isfinite()


@pytest.mark.parametrize("eta", [-0.1, math.nan, math.inf])
def test_bad_eta(eta: float) -> None:
    with pytest.raises(ValueError, match="expected a finite eta >= 0, found"):
        FisherSAM([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=0.1, eta=eta)
