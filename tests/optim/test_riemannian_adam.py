from __future__ import annotations

from typing import Any

import geoopt
import pytest
import torch
from torch import nn

from gsam.manifolds import Lorentz, PoincareBall
from gsam.optim.riemannian_adam import RiemannianAdam
from tests.optim.riemannian_naive import (
    DOUBLE,
    Flat,
    Hyperboloid,
    dense,
    hyperboloid_points,
    naive_adam,
    row_sparse,
    run,
    scalar_twin,
    touched_rows,
)

BETAS = (0.9, 0.99)


def lorentz(c: float = 1.0) -> geoopt.Lorentz:
    return geoopt.Lorentz(torch.tensor(1 / c, dtype=DOUBLE))


def ball() -> geoopt.PoincareBall:
    return geoopt.PoincareBall(torch.tensor(1.0, dtype=DOUBLE))


# -- plain parameters: torch's own optimizers -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"maximize": True, "weight_decay": 0.1, "amsgrad": True},
        {"eps": 0.1},
    ],
)
def test_plain_parameters_are_those_of_adam(options: dict[str, Any], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    starts = [torch.randn(5, 3), torch.randn(4), torch.randn(()), torch.randn(3, 4).t()]
    grads = [[torch.randn_like(start) for start in starts] for _ in range(6)]
    grads[2][1] = None  # a parameter that has no gradient in one of the steps
    found = []
    for made in (RiemannianAdam, torch.optim.Adam):
        params = [nn.Parameter(start.to(dtype)) for start in starts]
        opt = made(params, lr=0.05, betas=BETAS, **options)
        for step in grads:
            for param, grad in zip(params, step, strict=True):
                param.grad = None if grad is None else grad.to(dtype).clone()
            opt.step()
        found.append(params)
    tight = 1e-13 if dtype == torch.float64 else 1e-6
    torch.testing.assert_close(found[0], found[1], rtol=tight, atol=tight)


def test_a_gradient_laid_out_otherwise_than_its_parameter() -> None:
    torch.manual_seed(0)
    start, grads = torch.randn(3, 4, dtype=DOUBLE), [torch.randn(4, 3, dtype=DOUBLE).t() for _ in range(3)]
    mine, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    first, second = RiemannianAdam([mine], lr=0.1), torch.optim.Adam([other], lr=0.1)
    for grad in grads:
        mine.grad, other.grad = grad, grad.contiguous()
        first.step()
        second.step()
    torch.testing.assert_close(mine, other, rtol=1e-13, atol=1e-13)


def test_row_sparse_gradients_are_those_of_sparse_adam() -> None:
    """SparseAdam adds eps before the bias correction, so that only a vanishing one can be compared."""
    torch.manual_seed(0)
    start, steps = torch.randn(9, 4, dtype=DOUBLE), touched_rows(9, 4, 12, 0.4)
    steps[3] = {}
    mine, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    grads = [row_sparse(touched, start) for touched in steps]
    found = run(RiemannianAdam([mine], lr=0.05, betas=BETAS, eps=1e-30), mine, grads)
    expected = run(torch.optim.SparseAdam([other], lr=0.05, betas=BETAS, eps=1e-30), other, grads)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_sparse_gradients_of_all_rows_are_dense_ones(amsgrad: bool) -> None:
    torch.manual_seed(0)
    start, steps = torch.randn(5, 3, dtype=DOUBLE), touched_rows(5, 3, 8, 1.1)
    options = {"lr": 0.05, "weight_decay": 0.01, "amsgrad": amsgrad}
    mine, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mixed = [(row_sparse if i % 3 else dense)(touched, start) for i, touched in enumerate(steps)]
    found = run(RiemannianAdam([mine], **options), mine, mixed)
    expected = run(torch.optim.Adam([other], **options), other, [dense(touched, start) for touched in steps])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# -- points of manifolds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("manifold", [lorentz(), ball(), Lorentz(), PoincareBall()])
def test_along_one_geodesic_it_is_adam_on_the_arc_length(manifold: Any, amsgrad: bool) -> None:
    options = {"lr": 0.3, "betas": BETAS, "amsgrad": amsgrad}
    found, expected = scalar_twin(
        lambda params: RiemannianAdam(params, **options),
        lambda params: torch.optim.Adam(params, **options),
        manifold,
        40,
    )
    assert min(expected) < -0.7  # it overshoots and comes back
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("c", [0.5, 2.0])
@pytest.mark.parametrize("made", [lorentz, Lorentz])
def test_against_the_formulas_point_by_point(made: Any, c: float, sparse: bool, amsgrad: bool) -> None:
    start, steps = hyperboloid_points(6, 3, c), touched_rows(6, 4, 10, 0.5 if sparse else 1.1)
    x = geoopt.ManifoldParameter(start.clone(), manifold=made(c))
    opt = RiemannianAdam([x], lr=0.1, betas=BETAS, amsgrad=amsgrad, weight_decay=0.02)
    found = run(opt, x, [(row_sparse if sparse else dense)(touched, start) for touched in steps])
    expected = naive_adam(Hyperboloid(c), start, steps, lr=0.1, amsgrad=amsgrad, weight_decay=0.02)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)
    assert opt.state[x]["exp_avg_sq"].shape == (6, 1)


def test_amsgrad_with_rows_that_come_and_go() -> None:
    """The largest second moment is kept without its bias correction, which shrinks from step to step."""
    torch.manual_seed(0)
    start, steps = torch.randn(7, 3, dtype=DOUBLE), touched_rows(7, 3, 15, 0.5)
    for i, touched in enumerate(steps):
        for grad in touched.values():
            grad *= 10.0 ** (-i)  # so that the largest is an early one
    x = nn.Parameter(start.clone())
    found = run(RiemannianAdam([x], lr=0.1, betas=BETAS, amsgrad=True), x, [row_sparse(t, start) for t in steps])
    torch.testing.assert_close(found, naive_adam(Flat(), start, steps, lr=0.1, amsgrad=True), rtol=1e-12, atol=1e-12)


MANIFOLDS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "sphere": (geoopt.Sphere(), (5, 3)),
    "ball": (ball(), (5, 3)),
    "lorentz": (lorentz(), (5, 4)),
    "stiefel": (geoopt.EuclideanStiefel(), (2, 4, 3)),
    "canonical stiefel": (geoopt.CanonicalStiefel(), (2, 4, 3)),
    "scaled": (geoopt.Scaled(geoopt.Sphere(), 2.0), (5, 3)),
    "product": (geoopt.ProductManifold((geoopt.Sphere(), 3), (ball(), 2), (geoopt.Euclidean(), 2)), (5, 7)),
    "euclidean": (geoopt.Euclidean(ndim=1), (5, 3)),
}


def random_points(manifold: Any, shape: tuple[int, ...]) -> Any:
    torch.manual_seed(3)
    if isinstance(manifold, geoopt.Lorentz):
        return hyperboloid_points(shape[0], shape[1] - 1, 1.0)
    return manifold.projx(0.3 * torch.randn(*shape, dtype=DOUBLE)).detach()


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"weight_decay": 0.1}, {"stabilize": 3}])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_dense_steps_are_those_of_geoopt(name: str, options: dict[str, Any]) -> None:
    """geoopt steps along retractions; one second moment a factor of a point, summed over its coordinates."""
    manifold, shape = MANIFOLDS[name]
    start = random_points(manifold, shape)
    grads = [torch.randn_like(start) for _ in range(7)]
    mine = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    other = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    found = run(RiemannianAdam([mine], lr=0.05, retraction=True, **options), mine, grads)
    expected = run(geoopt.optim.RiemannianAdam([other], lr=0.05, **options), other, grads)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("retraction", [False, True])
@pytest.mark.parametrize("name", [name for name in MANIFOLDS if name != "euclidean"])
def test_rows_of_any_manifold_move_as_alone(name: str, retraction: bool) -> None:
    """Rows 0 and 1 of a table, touched at every step, against a table of just them; all others stay bit for bit."""
    manifold, shape = MANIFOLDS[name]
    start = random_points(manifold, shape)
    grads = [torch.randn_like(start[:2]) for _ in range(5)]
    table = geoopt.ManifoldParameter(start.clone(), manifold=manifold)
    alone = geoopt.ManifoldParameter(start[:2].clone(), manifold=manifold)
    sparse = [row_sparse({0: grad[0], 1: grad[1]}, start) for grad in grads]
    found = run(RiemannianAdam([table], lr=0.05, retraction=retraction), table, sparse)
    expected = run(RiemannianAdam([alone], lr=0.05, retraction=retraction), alone, grads)
    torch.testing.assert_close(found[:2], expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(found[2:], start[2:])


def test_it_reaches_the_leading_eigenvector() -> None:
    torch.manual_seed(0)
    symmetric = torch.randn(6, 6, dtype=DOUBLE)
    symmetric = symmetric + symmetric.t()
    x = geoopt.ManifoldParameter(geoopt.Sphere().projx(torch.randn(6, dtype=DOUBLE)), manifold=geoopt.Sphere())
    opt = RiemannianAdam([x], lr=0.05, amsgrad=True, maximize=True)
    for _ in range(400):
        opt.zero_grad()
        (x @ symmetric @ x).backward()
        opt.step()
    values, vectors = torch.linalg.eigh(symmetric)
    assert (x @ symmetric @ x).item() == pytest.approx(values[-1].item(), abs=1e-4)
    assert abs(float(x.detach() @ vectors[:, -1])) == pytest.approx(1, abs=1e-4)


def test_a_squared_norm_that_rounds_below_zero() -> None:
    """geoopt's Lorentz in float32, far out, where an eighth of the squared norms are negative."""
    torch.manual_seed(0)
    manifold, direction = geoopt.Lorentz(), nn.functional.normalize(torch.randn(200, 4), dim=1)
    start, target = (manifold.expmap0(nn.functional.pad(r * direction, (1, 0))) for r in (6.0, 6.01))
    x = geoopt.ManifoldParameter(start, manifold=manifold)
    opt = RiemannianAdam([x], lr=0.01)
    manifold.dist(x, target).square().sum().backward()
    found = manifold.component_inner(x.detach(), manifold.egrad2rgrad(x.detach(), x.grad.clone()))
    assert (found < 0).any()
    opt.step()
    assert x.isfinite().all()


@pytest.mark.parametrize("options", [{"lr": -1}, {"eps": -1e-8}, {"betas": (0.9, 1.0)}, {"weight_decay": -1}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"expected {next(iter(options))}"):
        RiemannianAdam([nn.Parameter(torch.ones(2))], **options)
