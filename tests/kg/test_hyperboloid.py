"""Against the ball's own formulas, in float64 and, where those have no digits left, in mpmath."""

from __future__ import annotations

import mpmath
import pytest
import torch

from gsam.kg._hyperboloid import MAX_RADIUS, exp0, mobius_add
from gsam.manifolds import lorentz_math, poincare_math


def on_ball(space: torch.Tensor) -> torch.Tensor:
    return lorentz_math.to_poincare(lorentz_math.lift(space, 1.0), 1.0)


def test_exponential_map_is_the_balls() -> None:
    torch.manual_seed(0)
    tangent = torch.randn(40, 5, dtype=torch.float64)
    torch.testing.assert_close(on_ball(exp0(tangent)), poincare_math.expmap0(tangent, 1.0))


def test_sum_is_the_moebius_sum() -> None:
    torch.manual_seed(1)
    x, y = exp0(torch.randn(2, 40, 5, dtype=torch.float64))
    torch.testing.assert_close(on_ball(mobius_add(x, y)), poincare_math.mobius_add(on_ball(x), on_ball(y), 1.0))


def test_far_points_keep_their_radius() -> None:
    tangent = torch.tensor([[60.0, 80.0], [3.0, 4.0]], dtype=torch.float64)
    radius = exp0(tangent).norm(dim=1).arcsinh()
    assert radius[0].item() == pytest.approx(MAX_RADIUS)
    assert radius[1].item() == pytest.approx(10.0)


def test_float32_sum_of_far_points() -> None:
    """Two points at distance 8 in nearly opposite directions: the ball in float32 has no digits for this."""
    x, y = torch.tensor([[4.0, 0.0]]), torch.tensor([[-4.0, 0.1]])
    found = mobius_add(exp0(x), exp0(y))[0].double()
    with mpmath.workdps(60):

        def ball(v: torch.Tensor) -> list[mpmath.mpf]:
            v = [mpmath.mpf(float(a)) for a in v[0]]
            norm = mpmath.sqrt(v[0] ** 2 + v[1] ** 2)
            return [mpmath.tanh(norm) * a / norm for a in v]

        p, q = ball(x), ball(y)
        pq, pp, qq = p[0] * q[0] + p[1] * q[1], p[0] ** 2 + p[1] ** 2, q[0] ** 2 + q[1] ** 2
        total = [((1 + 2 * pq + qq) * a + (1 - pp) * b) / (1 + 2 * pq + pp * qq) for a, b in zip(p, q, strict=True)]
        gap = 1 - total[0] ** 2 - total[1] ** 2
        expected = torch.tensor([float(2 * a / gap) for a in total], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3 * expected.norm().item())
    # the sum of terms of size sinh(8)^2 that nearly cancel: 1e-7 of their size
    assert (found - expected).norm() < 3e-7 * 1490.0**2


def test_gradients_at_the_origin() -> None:
    tangent = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: mobius_add(exp0(a), exp0(b)), (tangent, other))
    assert torch.autograd.gradcheck(lambda a, b: mobius_add(exp0(b), exp0(a)), (tangent, other))
