"""The ball as a geoopt manifold: what is its own beside the contract."""

from __future__ import annotations

import geoopt
import pytest
import torch
from torch import Tensor

from gsam.manifolds import PoincareBall, poincare_math


def test_expmap0_has_the_coordinates_of_the_ball() -> None:
    """As expmap at the centre, and as in geoopt: a vector u leads as far as 2 |u|."""
    manifold = PoincareBall(0.3)
    u = torch.tensor([[0.3, 0.0, -0.4]], dtype=torch.float64)
    torch.testing.assert_close(manifold.expmap0(u), geoopt.PoincareBall(0.3).double().expmap0(u))
    assert manifold.dist0(manifold.expmap0(u)).item() == pytest.approx(1.0, rel=1e-14)
    torch.testing.assert_close(manifold.logmap0(manifold.expmap0(u)), u)


def test_moebius_addition_and_conformal_factor() -> None:
    manifold = PoincareBall(2.0)
    x, y = 0.3 * torch.rand(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(manifold.mobius_add(-x, manifold.mobius_add(x, y)), y)
    torch.testing.assert_close(manifold.lambda_x(x), 2 / (1 - 2 * x.square().sum(-1)))
    assert manifold.lambda_x(x, keepdim=True).shape == (5, 1)
    edge = manifold.projx(torch.tensor([[1.0, 0.0, 0.0]]))
    assert manifold.check_point_on_manifold(manifold.mobius_add(edge, edge))


def test_every_vector_is_tangent() -> None:
    manifold = PoincareBall()
    x, u = torch.zeros(4, 3), torch.randn(3)
    assert torch.equal(manifold.proju(x, u), u.expand(4, 3))
    assert manifold.check_vector_on_tangent(x, u.expand(4, 3))
    ok, reason = manifold.check_vector_on_tangent(x, torch.full((4, 3), float("inf")), explain=True)
    assert not ok
    assert reason == "expected finite numbers"


def test_a_step_beyond_the_edge() -> None:
    """Checked it is an error; retr and the pure function put it back, on the side it went to."""
    manifold = PoincareBall()
    x, u = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 50.0]])
    with pytest.raises(ValueError, match=r"at most 13\.17 from the origin, the range of float32, found one beyond"):
        manifold.expmap(x, u)
    for y in (manifold.retr(x, u), PoincareBall(checked=False).expmap(x, u), poincare_math.expmap(x, u, 1.0)):
        assert manifold.check_point_on_manifold(y)
        assert y[0, 1] > 0.5


def test_points_outside_are_not_points() -> None:
    manifold = PoincareBall(4.0)
    ok, reason = manifold.check_point_on_manifold(torch.tensor([[0.6, 0.0]]), explain=True)
    assert not ok
    assert "found 1.2" in reason


def test_the_radius_that_geoopt_loses() -> None:
    """geoopt's ball ends at distance 6.2 in float32; here points at 12 are told from points at 11."""
    manifold = PoincareBall()
    x = manifold.expmap0(torch.tensor([[5.5, 0.0], [6.0, 0.0]]))
    torch.testing.assert_close(manifold.dist0(x), torch.tensor([11.0, 12.0]), rtol=3e-3, atol=0)
    torch.testing.assert_close(manifold.dist(x[0], x[1]), torch.tensor(1.0), rtol=2e-2, atol=0)
    theirs = geoopt.PoincareBall()
    assert theirs.dist0(theirs.expmap0(torch.tensor([[6.0, 0.0]]))).item() < 6.3


def test_origin() -> None:
    origin = PoincareBall().origin((2, 3))
    assert torch.equal(origin.as_subclass(Tensor), torch.zeros(2, 3))
