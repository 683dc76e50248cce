from __future__ import annotations

from typing import Any

import geoopt
import pytest
import torch
from torch import nn

from gsam.manifolds import Lorentz, PoincareBall
from gsam.optim.riemannian_sgd import RiemannianSGD
from tests.optim.riemannian_naive import (
    DOUBLE,
    Flat,
    Hyperboloid,
    dense,
    hyperboloid_points,
    naive_sgd,
    row_sparse,
    run,
    scalar_twin,
    touched_rows,
)

MOMENTA: list[dict[str, Any]] = [
    {"momentum": 0.0, "dampening": 0.0, "nesterov": False},
    {"momentum": 0.8, "dampening": 0.0, "nesterov": False},
    {"momentum": 0.8, "dampening": 0.3, "nesterov": False},
    {"momentum": 0.8, "dampening": 0.0, "nesterov": True},
]


def lorentz(c: float = 1.0) -> geoopt.Lorentz:
    return geoopt.Lorentz(torch.tensor(1 / c, dtype=DOUBLE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("extra", [{}, {"weight_decay": 0.1}, {"maximize": True, "weight_decay": 0.1}])
@pytest.mark.parametrize("options", MOMENTA)
def test_plain_parameters_are_those_of_sgd(options: dict[str, Any], extra: dict[str, Any], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    starts = [torch.randn(5, 3), torch.randn(4), torch.randn(()), torch.randn(3, 4).t()]
    grads = [[torch.randn_like(start) for start in starts] for _ in range(6)]
    grads[0][1] = grads[3][2] = None  # a buffer that starts late, and one that waits
    found = []
    for made in (RiemannianSGD, torch.optim.SGD):
        params = [nn.Parameter(start.to(dtype)) for start in starts]
        opt = made(params, lr=0.05, **options, **extra)
        for step in grads:
            for param, grad in zip(params, step, strict=True):
                param.grad = None if grad is None else grad.to(dtype).clone()
            opt.step()
        found.append(params)
    tight = 1e-14 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(found[0], found[1], rtol=tight, atol=tight)


def test_the_first_momentum_is_the_gradient() -> None:
    """p = 1, gradient 1, lr .1: .9, where geoopt's first step goes to .81."""
    for manifold in (None, geoopt.Euclidean()):
        p = nn.Parameter(torch.ones(1, dtype=DOUBLE))
        found = run(RiemannianSGD([p], lr=0.1, momentum=0.9, manifold=manifold), p, [torch.ones_like(p)])
        assert found.item() == pytest.approx(0.9, rel=1e-15)


@pytest.mark.parametrize("options", MOMENTA)
@pytest.mark.parametrize("manifold", [lorentz(), Lorentz(), PoincareBall()])
def test_along_one_geodesic_it_is_sgd_on_the_arc_length(manifold: Any, options: dict[str, Any]) -> None:
    found, expected = scalar_twin(
        lambda params: RiemannianSGD(params, lr=0.05, **options),
        lambda params: torch.optim.SGD(params, lr=0.05, **options),
        manifold,
        40,
    )
    assert expected[-1] < 0
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("options", MOMENTA)
@pytest.mark.parametrize("space", [Hyperboloid(0.5), Hyperboloid(2.0), Flat()])
def test_against_the_formulas_point_by_point(space: Any, options: dict[str, Any], sparse: bool) -> None:
    c = getattr(space, "c", 1.0)
    start, steps = hyperboloid_points(6, 3, c), touched_rows(6, 4, 10, 0.5 if sparse else 1.1)
    manifold = Lorentz(c) if isinstance(space, Hyperboloid) else geoopt.Euclidean()
    x = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    grads = [(row_sparse if sparse else dense)(touched, start) for touched in steps]
    found = run(RiemannianSGD([x], lr=0.01, **options), x, grads)
    torch.testing.assert_close(found, naive_sgd(space, start, steps, lr=0.01, **options), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("manifold", [geoopt.Sphere(), lorentz(), geoopt.EuclideanStiefel()])
def test_dense_steps_without_momentum_are_those_of_geoopt(manifold: Any) -> None:
    torch.manual_seed(0)
    start = hyperboloid_points(5, 3, 1.0) if isinstance(manifold, geoopt.Lorentz) else None
    start = manifold.projx(torch.randn(5, 4, dtype=DOUBLE)).detach() if start is None else start
    grads = [torch.randn_like(start) for _ in range(7)]
    options = {"lr": 0.05, "weight_decay": 0.1, "stabilize": 2}
    mine = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    other = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    found = run(RiemannianSGD([mine], retraction=True, **options), mine, grads)
    expected = run(geoopt.optim.RiemannianSGD([other], **options), other, grads)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_momentum_is_a_tangent_vector() -> None:
    manifold = lorentz()
    start = hyperboloid_points(6, 3, 1.0)
    x = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    opt = RiemannianSGD([x], lr=0.05, momentum=0.9)
    for touched in touched_rows(6, 4, 5, 0.7):
        run(opt, x, [row_sparse(touched, start)])
        buffer = opt.state[x]["momentum_buffer"]
        normal = manifold.inner(x, x, buffer).abs() / (x.norm(dim=1) * buffer.norm(dim=1)).clamp(min=1)
        assert buffer.abs().max() > 0.1
        assert normal.max() < 1e-12


def test_no_momentum_keeps_no_state() -> None:
    start, steps = hyperboloid_points(6, 3, 1.0), touched_rows(6, 4, 3, 0.5)
    x = geoopt.ManifoldParameter(start.clone(), manifold=lorentz())
    opt = RiemannianSGD([x], lr=0.05)
    run(opt, x, [row_sparse(touched, start) for touched in steps])
    assert not opt.state[x]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"lr": -1}, "lr"),
        ({"momentum": -0.1}, "momentum"),
        ({"nesterov": True}, "momentum > 0"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "momentum > 0 and dampening = 0"),
        ({"weight_decay": float("nan")}, "weight_decay"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"expected {name}"):
        RiemannianSGD([nn.Parameter(torch.ones(2))], **options)


def test_nesterov_leaves_the_gradients_alone() -> None:
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = RiemannianSGD([param], lr=0.1, momentum=0.9, nesterov=True)
    for _ in range(3):
        param.grad = torch.ones(3)
        optimizer.step()
        assert torch.equal(param.grad, torch.ones(3))
