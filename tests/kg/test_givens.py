from __future__ import annotations

import math

import torch

from gsam.kg._givens import reflect, rotate


def test_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    planes = torch.tensor([[0.0, 5.0, -2.0, 0.0]])  # a right angle and a half turn, of any length
    assert rotate(planes, x).tolist() == [[-2.0, 1.0, -3.0, -4.0]]
    assert reflect(planes, x).tolist() == [[2.0, 1.0, -3.0, 4.0]]  # at the diagonal, and at the second axis


def test_they_are_isometries_of_the_plane() -> None:
    torch.manual_seed(0)
    x, planes = torch.randn(2, 5, 6, dtype=torch.float64)
    for move, determinant in ((rotate, 1.0), (reflect, -1.0)):
        torch.testing.assert_close(move(planes, x).norm(dim=1), x.norm(dim=1))
        matrix = torch.stack([move(planes[:1, :2], e[None])[0] for e in torch.eye(2, dtype=torch.float64)], 1)
        assert math.isclose(matrix.det().item(), determinant, rel_tol=1e-12)
    torch.testing.assert_close(reflect(planes, reflect(planes, x)), x)


def test_a_zero_direction_is_no_nan() -> None:
    planes = torch.zeros(1, 4, requires_grad=True)
    out = rotate(planes, torch.ones(1, 4))
    out.sum().backward()
    assert out.isfinite().all()
    assert planes.grad.isfinite().all()
