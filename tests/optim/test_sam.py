from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gsam.optim import ASAM, SAM, SharpnessAware
from tests.optim.problems import Problem, equal, flat

DOUBLE = torch.float64


def quadratic(seed: int = 0) -> tuple[Tensor, nn.Parameter]:
    """A symmetric H and a start: the gradient of w'Hw/2 is Hw."""
    torch.manual_seed(seed)
    root = torch.randn(5, 5, dtype=DOUBLE)
    return root @ root.T + torch.eye(5), nn.Parameter(torch.randn(5, dtype=DOUBLE))


def step(opt: SharpnessAware, h: Tensor, w: nn.Parameter) -> float:
    def closure() -> Tensor:
        opt.zero_grad()
        loss = 0.5 * w @ h @ w
        loss.backward()
        return loss

    return opt.step(closure).item()


def test_closed_form_of_sam() -> None:
    r"""On :math:`w^\top H w / 2` the SAM gradient is :math:`Hw + \rho H^2 w / \|Hw\|`."""
    h, w = quadratic()
    start = w.detach().clone()
    opt = SAM([w], torch.optim.SGD, lr=0.1, rho=0.7)
    assert step(opt, h, w) == pytest.approx((0.5 * start @ h @ start).item())
    g = h @ start
    torch.testing.assert_close(w.detach(), start - 0.1 * (g + 0.7 * h @ g / g.norm()), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("eta", [0.0, 0.1])
def test_closed_form_of_asam(eta: float) -> None:
    r"""... and that of ASAM :math:`Hw + \rho H T^2 H w / \|T H w\|`."""
    h, w = quadratic()
    start = w.detach().clone()
    opt = ASAM([w], torch.optim.SGD, lr=0.1, rho=0.7, eta=eta)
    step(opt, h, w)
    g, scale = h @ start, start.abs() + eta
    shift = 0.7 * scale**2 * g / (scale * g).norm()
    torch.testing.assert_close(w.detach(), start - 0.1 * (g + h @ shift), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 2.0])
def test_radius(rho: float) -> None:
    """The perturbation has length rho: Euclidean for SAM, in units of the weights for ASAM."""
    for opt_of, scaled in ((SAM, False), (ASAM, True)):
        problem = Problem()
        opt = opt_of(problem.params, torch.optim.SGD, lr=0.1, rho=rho)
        start = flat(problem.weights())
        problem.loss().backward()
        with opt.perturbed():
            shift = flat(problem.weights()) - start
        length = (shift / start.abs()).norm() if scaled else shift.norm()
        assert length.item() == pytest.approx(rho, rel=1e-10)


def test_asam_does_not_see_scale() -> None:
    """Doubling one linear layer and halving the next is the same function, and ASAM climbs to the same one."""

    def climb(scale: float, opt_of: type[SharpnessAware]) -> Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False)).double()
        with torch.no_grad():
            model[0].weight.mul_(scale)
            model[2].weight.div_(scale)
        x = torch.randn(7, 4, dtype=DOUBLE)
        opt = opt_of(model.parameters(), torch.optim.SGD, lr=0.1, rho=0.5)
        model(x).square().sum().backward()
        with opt.perturbed():
            return model(x).detach()

    torch.testing.assert_close(climb(1.0, ASAM), climb(8.0, ASAM), rtol=1e-12, atol=1e-12)
    assert (climb(1.0, SAM) - climb(8.0, SAM)).abs().max() > 0.01


def test_defaults_and_equivalences() -> None:
    assert SAM(Problem().params, torch.optim.SGD, lr=0.1).param_groups[0]["rho"] == 0.05
    assert ASAM(Problem().params, torch.optim.SGD, lr=0.1).param_groups[0]["rho"] == 0.5
    adaptive, asam = Problem(), Problem()
    first = SAM(adaptive.params, torch.optim.Adam, lr=0.1, rho=0.5, adaptive=True)
    second = ASAM(asam.params, torch.optim.Adam, lr=0.1, rho=0.5)
    for _ in range(3):
        adaptive.step(first)
        asam.step(second)
    assert equal(adaptive.weights(), asam.weights())
