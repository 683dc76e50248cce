"""Covectors on every manifold of geoopt's: turned into a Riemannian gradient they are the vector they came from."""

from __future__ import annotations

from collections.abc import Callable

import geoopt
import pytest
import torch
from geoopt.manifolds.base import Manifold
from torch import Tensor

from gsam.manifolds import Lorentz, PoincareBall, rgrad2egrad

Make = Callable[[], tuple[Manifold, tuple[int, ...]]]
MANIFOLDS: dict[str, Make] = {
    "euclidean": lambda: (geoopt.Euclidean(), (4, 3)),
    "euclidean-rows": lambda: (geoopt.Euclidean(ndim=1), (4, 3)),
    "sphere": lambda: (geoopt.Sphere(), (4, 3)),
    "sphere-exact": lambda: (geoopt.SphereExact(), (4, 3)),
    "stiefel": lambda: (geoopt.Stiefel(), (4, 5, 3)),
    "stiefel-canonical": lambda: (geoopt.CanonicalStiefel(), (4, 5, 3)),
    "oblique-product": lambda: (geoopt.ProductManifold((geoopt.Sphere(), 3), (geoopt.Euclidean(), 2)), (4, 5)),
    "geoopt-ball": lambda: (geoopt.PoincareBall(0.5), (4, 3)),
    "geoopt-lorentz": lambda: (geoopt.Lorentz(2.0), (4, 3)),
    "spd": lambda: (geoopt.SymmetricPositiveDefinite(), (4, 3, 3)),
    "lorentz": lambda: (Lorentz(0.5), (4, 3)),
    "ball": lambda: (PoincareBall(0.5), (4, 3)),
    "scaled": lambda: (geoopt.Scaled(geoopt.Sphere(), 3.0), (4, 3)),
    "scaled-lorentz": lambda: (geoopt.Scaled(Lorentz(), 3.0), (4, 3)),
    "product-of-ours": lambda: (geoopt.ProductManifold((Lorentz(), 3), (PoincareBall(), 2)), (4, 5)),
}


def setting(name: str) -> tuple[Manifold, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    manifold, shape = MANIFOLDS[name]()
    manifold = manifold.double()
    if name == "geoopt-lorentz":  # it has no random()
        x = manifold.projx(torch.randn(shape, dtype=torch.float64)).detach()
    else:
        x = manifold.random(*shape, dtype=torch.float64).as_subclass(Tensor).clone()
    u, v = (manifold.proju(x, torch.randn(shape, dtype=torch.float64)) for _ in range(2))
    return manifold, x, u, v


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_gradient_comes_back(name: str) -> None:
    manifold, x, u, _ = setting(name)
    before = u.clone(), x.clone()
    covector = rgrad2egrad(manifold, x, u)
    torch.testing.assert_close(manifold.egrad2rgrad(x, covector.clone()), u, rtol=1e-12, atol=1e-12)
    assert torch.equal(u, before[0])
    assert torch.equal(x, before[1])
    assert covector.data_ptr() not in (u.data_ptr(), x.data_ptr())


@pytest.mark.parametrize("name", MANIFOLDS)
def test_it_stands_for_the_inner_product(name: str) -> None:
    manifold, x, u, v = setting(name)
    pairing = (rgrad2egrad(manifold, x, u) * v).sum()
    torch.testing.assert_close(pairing, manifold.inner(x, u, v, keepdim=True).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sphere", "lorentz"])
def test_inside_no_grad(name: str) -> None:
    """Optimizers call it there, with a parameter for the point."""
    manifold, x, u, _ = setting(name)
    param = geoopt.ManifoldParameter(x, manifold=manifold)
    with torch.no_grad():
        covector = rgrad2egrad(manifold, param, u)
    assert not covector.requires_grad
    torch.testing.assert_close(covector.as_subclass(Tensor), rgrad2egrad(manifold, x, u))
