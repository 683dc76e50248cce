"""The even functions and their derivatives against mpmath, around the switch from series to closed form."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import pytest
import torch
from torch import Tensor

from gsam.manifolds import smooth

ODD = {"sinhc": mpmath.sinh, "tanhc": mpmath.tanh, "asinhc": mpmath.asinh, "atanhc": mpmath.atanh}
PLACES = (1e-30, 1e-12, 1e-6, 1e-4, 2.4e-3, 2.5e-3, 0.01, 0.069, 0.071, 0.3, 0.9, 4.0, 100.0, 400.0)
per_function = pytest.mark.parametrize("name", ODD)
per_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def places(name: str, dtype: torch.dtype) -> Tensor:
    return torch.tensor([z for z in PLACES if name != "atanhc" or z < 1], dtype=dtype)


def true(name: str, order: int) -> Callable[[float], mpmath.mpf]:
    def function(z: mpmath.mpf) -> mpmath.mpf:
        return ODD[name](mpmath.sqrt(z)) / mpmath.sqrt(z)

    @mpmath.workdps(150)  # differences of a step of z / 10^12 at z = 10^-30
    def derivative(z: float) -> mpmath.mpf:
        return mpmath.diff(function, mpmath.mpf(z), order, h=mpmath.mpf(z) / 10**12)

    return derivative


@per_function
@per_dtype
def test_values(name: str, dtype: torch.dtype) -> None:
    z = places(name, dtype)
    expected = torch.tensor([float(true(name, 0)(value)) for value in z.double().tolist()], dtype=torch.float64)
    found = getattr(smooth, name)(z).double()
    # the argument of a hyperbolic sine is rounded too: t = sqrt(z) times a unit
    assert ((found - expected).abs() <= 2 * torch.finfo(dtype).eps * (1 + z.double().sqrt()) * expected).all()


@per_function
@per_dtype
def test_derivatives(name: str, dtype: torch.dtype) -> None:
    """Each derivative costs the digits of one division by z, in the closed form, or one power of it in the series."""
    z = places(name, dtype).requires_grad_()
    (first,) = torch.autograd.grad(getattr(smooth, name)(z).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    exact = z.detach().double()
    for order, found in ((1, first), (2, second)):
        expected = torch.tensor([float(true(name, order)(value)) for value in exact.tolist()], dtype=torch.float64)
        eps = torch.finfo(dtype).eps
        slack = 40 * eps * (exact.sqrt() + exact.clamp(eps ** (1 / 6), 1.0) ** -order) * expected.abs()
        assert ((found.detach().double() - expected).abs() <= slack).all(), order


@per_function
@per_dtype
def test_limits_at_zero(name: str, dtype: torch.dtype) -> None:
    z = torch.zeros(1, dtype=dtype, requires_grad=True)
    value = getattr(smooth, name)(z)
    (first,) = torch.autograd.grad(value, z)
    assert value.item() == 1
    assert first.item() == pytest.approx({"sinhc": 1 / 6, "tanhc": -1 / 3, "asinhc": -1 / 6, "atanhc": 1 / 3}[name])


@per_function
def test_no_branch_spoils_the_other(name: str) -> None:
    """Far out the series overflows, at zero the closed form divides by zero: neither may reach a gradient."""
    far = 0.99 if name == "atanhc" else 7000.0
    z = torch.tensor([0.0, far], requires_grad=True)
    getattr(smooth, name)(z).sum().backward()
    assert z.grad.isfinite().all()
    assert getattr(smooth, name)(torch.tensor([float("nan")])).isnan().all()


@per_dtype
def test_root(dtype: torch.dtype) -> None:
    z = torch.tensor([0.0, 4.0], dtype=dtype, requires_grad=True)
    value = smooth.root(z)
    (first,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    assert value.tolist() == [0.0, 2.0]
    assert first.tolist() == [0.0, 0.25]
    assert second.tolist() == [0.0, -1 / 32]
    assert smooth.root(torch.tensor([float("nan")])).isnan().all()
