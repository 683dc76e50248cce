"""geoopt's hyperbolic manifolds as ours: the same points at the same distances."""

from __future__ import annotations

import geoopt
import pytest
import torch

from gsam.manifolds import Lorentz, PoincareBall, from_geoopt


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize(
    ("make", "kind"),
    [(geoopt.Lorentz, Lorentz), (geoopt.PoincareBall, PoincareBall), (geoopt.PoincareBallExact, PoincareBall)],
)
def test_same_geometry(make: type[geoopt.manifolds.base.Manifold], kind: type, learnable: bool) -> None:
    theirs = make(0.4, learnable=learnable).double()
    ours = from_geoopt(theirs)
    assert type(ours) is kind
    assert len(list(ours.parameters())) == learnable
    x = ours.random_normal(2, 6, 4, dtype=torch.float64).as_subclass(torch.Tensor)
    torch.testing.assert_close(ours.dist(x[0], x[1]), theirs.dist(x[0], x[1]), rtol=1e-5, atol=0)


def test_ours_stay_as_they_are() -> None:
    manifold = Lorentz(2.0)
    assert from_geoopt(manifold) is manifold


def test_others_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a geoopt.Lorentz or geoopt.PoincareBall, found Sphere"):
        from_geoopt(geoopt.Sphere())
