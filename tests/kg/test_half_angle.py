from __future__ import annotations

import math

import mpmath
import pytest
import torch

from gsam.kg._half_angle import squared_distance

VALUES = [0.0, 1e-30, 1e-12, 1e-7, 5e-4, 9.99e-4, 1.001e-3, 0.1, 1.0, 30.0, 1e6, 1e20]


def exact(s: float, c: float = 1.0) -> float:
    with mpmath.workdps(50):
        return float(4 / mpmath.mpf(c) * mpmath.asinh(mpmath.sqrt(mpmath.mpf(s))) ** 2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_values(dtype: torch.dtype, tolerance: float) -> None:
    s = torch.tensor(VALUES, dtype=dtype)
    expected = [exact(v, 0.7) for v in s.tolist()]
    torch.testing.assert_close(
        squared_distance(s, 0.7), torch.tensor(expected, dtype=dtype), rtol=tolerance, atol=1e-37
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_first_derivative(dtype: torch.dtype, tolerance: float) -> None:
    s = torch.tensor(VALUES, dtype=dtype, requires_grad=True)
    squared_distance(s).sum().backward()

    def slope(v: float) -> float:
        if v == 0:
            return 4.0
        with mpmath.workdps(50):
            v = mpmath.mpf(v)
            return float(4 * mpmath.asinh(mpmath.sqrt(v)) / mpmath.sqrt(v * (1 + v)))

    expected = torch.tensor([slope(v) for v in s.tolist()], dtype=dtype)
    torch.testing.assert_close(s.grad, expected, rtol=tolerance, atol=0.0)
    (smooth,) = torch.autograd.grad(squared_distance(s).sum(), s, create_graph=True)  # as for a second derivative
    torch.testing.assert_close(smooth.detach(), expected, rtol=tolerance, atol=0.0)


def test_second_derivative() -> None:
    """arsinh(sqrt(s))^2 = s - s^2 / 3 + ... at 0; differences elsewhere."""
    s = torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(squared_distance(s).sum(), s, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), s)
    assert second.item() == pytest.approx(-8 / 3, rel=1e-12)
    points = torch.tensor([1e-4, 0.03, 0.5, 7.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(squared_distance, (points,), eps=1e-7)


def test_what_rounding_takes_below_zero_counts_as_zero_and_keeps_its_gradient() -> None:
    s = torch.tensor([-1e-7, -0.5], requires_grad=True)
    squared = squared_distance(s)
    assert squared.tolist() == [0.0, 0.0]
    squared.sum().backward()
    assert s.grad.tolist() == [4.0, 4.0]


def test_curvature_gets_its_gradient() -> None:
    c = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    squared_distance(torch.tensor(1.5, dtype=torch.float64), c).backward()
    assert c.grad.item() == pytest.approx(-exact(1.5, 4.0), rel=1e-12)  # d/dc 4 a / c = -4 a / c^2


def test_nan_stays() -> None:
    s = torch.tensor([math.nan], requires_grad=True)
    squared = squared_distance(s)
    squared.backward()
    assert squared.isnan().all()
    assert s.grad.isnan().all()


def test_under_function_transforms() -> None:
    s = torch.rand(4, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(squared_distance)(s), squared_distance(s))
    grads = torch.func.vmap(torch.func.grad(squared_distance))(s)
    torch.testing.assert_close(grads, 4 * s.sqrt().asinh() / (s * (1 + s)).sqrt())
