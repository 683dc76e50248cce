"""The helpers of the formulas."""

from __future__ import annotations

import torch

from gsam.manifolds.rows import dot, keep, sqrt


def test_sqrt_keeps_the_kind() -> None:
    assert sqrt(4.0) == 2.0
    assert isinstance(sqrt(4.0), float)
    assert torch.equal(sqrt(torch.tensor([[4.0], [9.0]])), torch.tensor([[2.0], [3.0]]))


def test_dot_and_keep() -> None:
    u, v = torch.randn(5, 1, 3), torch.randn(2, 3)
    table = dot(u, v)
    assert table.shape == (5, 2, 1)
    torch.testing.assert_close(keep(table, False), torch.einsum("nid,md->nm", u, v))
    assert keep(table, True) is table
