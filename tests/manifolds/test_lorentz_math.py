"""The hyperboloid's formulas: textbook identities in float64, the stated limits, and the hot functions' purity."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gsam.manifolds import lorentz_math, poincare_math

CURVATURES = (0.25, 1.0, 4.0)
per_curvature = pytest.mark.parametrize("c", CURVATURES)


def draw(c: float, *shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two sets of points within a few units of the origin, two of tangent vectors at the first."""
    w = torch.randn(4, *shape, 5, dtype=dtype, generator=torch.Generator().manual_seed(0)) / c**0.5
    x, y = lorentz_math.expmap0(w[0], c), lorentz_math.expmap0(w[1], c)
    return x, y, lorentz_math.from_origin(x, w[2], c), lorentz_math.from_origin(x, w[3], c)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@per_curvature
def test_textbook_formulas(c: float) -> None:
    x, y, u, v = draw(c, 30)
    inner = lorentz_math.inner
    cosh = -c * inner(x, y, keepdim=True)
    close(inner(x, x), torch.full((30,), -1 / c, dtype=torch.float64))
    close(inner(x, u), torch.zeros(30, dtype=torch.float64))
    close(lorentz_math.distance(x, y, c, keepdim=True), torch.acosh(cosh) / c**0.5)
    close(lorentz_math.squared_distance(x, y, c, keepdim=True), torch.acosh(cosh).square() / c)
    close(lorentz_math.tangent_inner(x, u, v, c), inner(u, v))
    t = (c * inner(u, u, keepdim=True)).sqrt()
    close(lorentz_math.expmap(x, u, c), torch.cosh(t) * x + torch.sinh(t) / t * u)
    close(lorentz_math.logmap(x, y, c), torch.acosh(cosh) / (cosh**2 - 1).sqrt() * (y - cosh * x))
    closed = u + c * inner(y, u, keepdim=True) / (1 + cosh) * (x + y)
    close(lorentz_math.transport(x, y, u, c), closed)
    end, carried = lorentz_math.expmap_transport(x, u, v, c)
    close(end, lorentz_math.expmap(x, u, c))
    close(carried, lorentz_math.transport(x, end, v, c))


@per_curvature
def test_projection_and_gradient_by_solving_for_them(c: float) -> None:
    """r is the gradient: <r, v> is the derivative along every tangent v; the projection is closest in the form."""
    x, _, u, v = draw(c, 30)
    g = torch.randn(30, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    r = lorentz_math.riemannian_gradient(x, g, c)
    close(lorentz_math.inner(x, r), torch.zeros(30, dtype=torch.float64))
    close(lorentz_math.inner(r, v), (g * v).sum(-1))
    projected = lorentz_math.project_tangent(x, g, c)
    close(lorentz_math.inner(x, projected), torch.zeros(30, dtype=torch.float64))
    close(lorentz_math.inner(g - projected, v), torch.zeros(30, dtype=torch.float64))
    close(lorentz_math.project_tangent(x, u, c), u)
    covector = lorentz_math.covector(x, r, c)
    assert not covector[:, 0].any()
    close((covector * v).sum(-1), (g * v).sum(-1))


@per_curvature
def test_frames_are_transport_from_and_to_the_origin(c: float) -> None:
    x, _, u, _ = draw(c, 30)
    origin = lorentz_math.lift(torch.zeros(30, 5, dtype=torch.float64), c)
    close(lorentz_math.transport(x, origin, u, c)[:, 1:], lorentz_math.to_origin(x, u, c))
    close(lorentz_math.from_origin(x, lorentz_math.to_origin(x, u, c), c), u)
    close(lorentz_math.expmap0(u[:, 1:], c), lorentz_math.expmap(origin, torch.nn.functional.pad(u[:, 1:], (1, 0)), c))
    close(lorentz_math.logmap0(x, c), lorentz_math.logmap(origin, x, c)[:, 1:])
    close(lorentz_math.distance0(x, c), lorentz_math.distance(origin, x, c))


@per_curvature
def test_isometry_with_the_ball(c: float) -> None:
    """Distances, and exponential maps with the vectors carried over by the derivative."""
    x, y, u, v = draw(c, 30)

    def ball(points: Tensor) -> Tensor:
        return lorentz_math.to_poincare(points, c)

    p, q = ball(x), ball(y)
    close(lorentz_math.from_poincare(p, c), x)
    close(poincare_math.distance(p, q, c), lorentz_math.distance(x, y, c))
    _, w = torch.autograd.functional.jvp(ball, x, u)
    _, other = torch.autograd.functional.jvp(ball, x, v)
    close(poincare_math.tangent_inner(p, w, other, c), lorentz_math.tangent_inner(x, u, v, c))
    close(poincare_math.expmap(p, w, c), ball(lorentz_math.expmap(x, u, c)))
    _, log = torch.autograd.functional.jvp(ball, x, lorentz_math.logmap(x, y, c))
    close(poincare_math.logmap(p, q, c), log)
    _, carried = torch.autograd.functional.jvp(ball, y, lorentz_math.transport(x, y, u, c))
    close(poincare_math.transport(p, q, w, c), carried)


def test_a_curvature_for_each_row() -> None:
    c = torch.tensor([[0.25], [1.0], [4.0]], dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, y = lorentz_math.expmap0(w[0], c), lorentz_math.expmap0(w[1], c)
    found = lorentz_math.distance(x, y, c)
    for i, value in enumerate((0.25, 1.0, 4.0)):
        a, b = lorentz_math.expmap0(w[0, i], value), lorentz_math.expmap0(w[1, i], value)
        torch.testing.assert_close(found[i], lorentz_math.distance(a, b, value))
    (slope,) = torch.autograd.grad(found.sum(), c)
    assert slope.shape == c.shape
    assert (slope.abs() > 1e-3).all()


@given(
    space=st.lists(st.floats(-100, 100, width=32), min_size=8, max_size=8),
    c=st.sampled_from(CURVATURES),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=200, deadline=None)
def test_any_two_points(space: list[float], c: float, dtype: torch.dtype) -> None:
    """A metric: symmetric, zero at one point only, and the triangle with the origin holds; in every dtype."""
    x, y = (lorentz_math.lift(torch.tensor(half, dtype=dtype), c) for half in (space[:4], space[4:]))
    there, back = lorentz_math.distance(x, y, c), lorentz_math.distance(y, x, c)
    rx, ry = lorentz_math.distance0(x, c), lorentz_math.distance0(y, c)
    slack = 16 * torch.finfo(dtype).eps * (1 + float(rx + ry)) * (1 + max(map(abs, space)))
    assert abs(float(there - back)) <= slack
    assert float((rx - ry).abs()) - slack <= float(there) <= float(rx + ry) + slack
    assert lorentz_math.distance(x, x, c) == 0
    if (x != y).any() and float((x - y).norm()) > 1e-15:
        assert there > 0


def test_neighbours_are_told_apart() -> None:
    """Points one unit of rounding apart at radius 8: the distance is that of float64, not a multiple of noise."""
    w = torch.nn.functional.normalize(torch.randn(200, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    x = lorentz_math.expmap0(8 * w, 1.0)
    space = x[:, 1:].clone()
    space[:, 0] = torch.nextafter(space[:, 0], torch.tensor(math.inf))
    y = lorentz_math.lift(space, 1.0)
    exact = [lorentz_math.lift(p[:, 1:].double(), 1.0) for p in (x, y)]
    true = lorentz_math.distance(*exact, 1.0)
    torch.testing.assert_close(lorentz_math.distance(x, y, 1.0).double(), true, rtol=1e-3, atol=0)


def test_steps_of_an_optimizer_stay_on_the_sheet() -> None:
    """2,000 random steps in float32: the time coordinate never drifts, as it is computed anew."""
    generator = torch.Generator().manual_seed(0)
    x = lorentz_math.expmap0(torch.randn(8, 4, generator=generator), 1.0)
    v = lorentz_math.from_origin(x, torch.randn(8, 4, generator=generator), 1.0)
    for _ in range(2000):
        w = 0.05 * torch.randn(8, 4, generator=generator) - 0.01 * lorentz_math.logmap0(x, 1.0)
        x, v = lorentz_math.expmap_transport(x, lorentz_math.from_origin(x, w, 1.0), v, 1.0)
    time = (1 + x[:, 1:].double().square().sum(-1)).sqrt()
    assert ((x[:, 0] - time).abs() / time).max() < 2e-7
    size = x.double().norm(dim=-1) * v.double().norm(dim=-1)
    assert (lorentz_math.inner(x.double(), v.double()).abs() / size).max() < 1e-4


@pytest.mark.parametrize("maths", [lorentz_math, poincare_math], ids=lambda m: m.__name__[-8:])
def test_the_table_of_the_docstring(maths: object) -> None:
    """The largest radius at which float32 is certain to be right to 1e-4, to the last digit printed."""
    distances, radii = (
        [float(number) for number in re.findall(r"[\d.]+", line)]
        for line in re.findall(r"^(?:distance moved|largest radius)(.*)$", maths.__doc__ or "", re.MULTILINE)
    )
    assert len(distances) == len(radii) >= 5
    for far, radius in zip(distances, radii, strict=True):
        assert maths.rounding_error(radius, far) <= 1e-4 < maths.rounding_error(radius + 0.01, far)  # type: ignore[attr-defined]


def test_the_numbers_of_the_docstrings() -> None:
    assert lorentz_math.max_radius() == pytest.approx(41.5, abs=0.1)
    assert int(lorentz_math.max_radius(dtype=torch.float64)) == 352
    for dtype, radius in ((torch.float32, 17.3), (torch.float64, 37.4)):
        assert torch.finfo(dtype).eps / 2 * math.cosh(radius) == pytest.approx(1, rel=0.07)
    for c in CURVATURES:
        assert lorentz_math.rounding_error(2 / c**0.5, 0.5 / c**0.5, c) == lorentz_math.rounding_error(2.0, 0.5)


@pytest.mark.parametrize("c", [1e-4, *CURVATURES, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_at_the_largest_radius_everything_is_finite(c: float, dtype: torch.dtype) -> None:
    reach = lorentz_math.max_radius(c, dtype)
    ends = torch.tensor([[reach, 0, 0], [-reach, 0, 0], [0, reach * 0.6, reach * 0.8]], dtype=dtype)
    x = lorentz_math.expmap0(ends * (1 - 1e-6), c)
    y = x[[1, 2, 0]]
    torch.testing.assert_close(lorentz_math.distance0(x, c), torch.full((3,), reach, dtype=dtype), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        lorentz_math.distance(x[0], x[1], c), torch.tensor(2 * reach, dtype=dtype), rtol=1e-5, atol=0
    )
    for value in (lorentz_math.logmap(x, y, c), lorentz_math.transport(x, y, torch.zeros_like(x), c)):
        assert value.isfinite().all()
