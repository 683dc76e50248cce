"""The rotation against its definition by Moebius additions, and against the defect of a triangle."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gsam.manifolds.gyration import gyrate


def add(x: Tensor, y: Tensor, c: float) -> Tensor:
    """Moebius addition as it is printed."""
    xy, xx, yy = (x * y).sum(-1, True), (x * x).sum(-1, True), (y * y).sum(-1, True)
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)


def gaps(p: Tensor, q: Tensor, c: float) -> tuple[Tensor, Tensor]:
    return 1 - c * (p * p).sum(-1, True), 1 - c * (q * q).sum(-1, True)


def draw(c: float, dim: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    numbers = torch.randn(3, 20, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = (
        0.8 * torch.tanh(x.norm(dim=-1, keepdim=True)) * x / x.norm(dim=-1, keepdim=True) / c**0.5 for x in numbers[:2]
    )
    return p, q, numbers[2]


@pytest.mark.parametrize("c", [0.25, 1.0, 4.0])
def test_definition(c: float) -> None:
    """gyr[q, -p] w = -(q - p) + (q + (-p + w)), Moebius sums, for a short w, as it is linear."""
    p, q, w = draw(c)
    short = 1e-3 * w / c**0.5
    expected = add(-add(q, -p, c), add(q, add(-p, short, c), c), c)
    torch.testing.assert_close(gyrate(short, p, q, gaps(p, q, c), c), expected, rtol=1e-10, atol=1e-14)


def test_a_rotation_by_the_defect_of_the_triangle() -> None:
    """In the plane: area of the geodesic triangle with the origin, by its two sides and the angle between them."""
    p, q, w = draw(1.0, dim=2)
    turned = gyrate(w, p, q, gaps(p, q, 1.0), 1.0)
    torch.testing.assert_close(turned.norm(dim=-1), w.norm(dim=-1))
    angle = torch.atan2(w[:, 0] * turned[:, 1] - w[:, 1] * turned[:, 0], (w * turned).sum(-1))
    at_origin = torch.atan2(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0], (p * q).sum(-1))
    both = p.norm(dim=-1) * q.norm(dim=-1)  # tan(area / 2) = ab sin / (1 + ab cos) with a, b half-angle tanh
    area = 2 * torch.atan2(both * at_origin.sin(), 1 - both * at_origin.cos())
    assert torch.allclose(torch.cos(angle), torch.cos(area), atol=1e-12)
    assert (angle.abs() > 0.1).any()


def test_nothing_to_turn() -> None:
    p, _, w = draw(1.0)
    for q in (p, torch.zeros_like(p), -0.5 * p):
        torch.testing.assert_close(gyrate(w, p, q, gaps(p, q, 1.0), 1.0), w, rtol=1e-13, atol=1e-13)
    assert torch.equal(gyrate(w, p, p, gaps(p, p, 1.0), 1.0), w)


def test_a_rotation_close_to_the_boundary_in_float32() -> None:
    """At distance 12 from the origin two neighbours turn by little, and no length is lost."""
    reach, dim = math.tanh(6.0), 5
    w = torch.randn(50, dim, generator=torch.Generator().manual_seed(1))
    p = torch.nn.functional.normalize(torch.randn(50, dim, generator=torch.Generator().manual_seed(2)), dim=-1) * reach
    q = torch.nn.functional.normalize(p + 1e-5 * w, dim=-1) * reach
    turned = gyrate(w, p, q, gaps(p.double(), q.double(), 1.0), 1.0)
    assert (turned.norm(dim=-1) / w.norm(dim=-1) - 1).abs().max() < 1e-4
