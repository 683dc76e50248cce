"""geoopt's hyperbolic manifolds as this library's."""

from __future__ import annotations

import geoopt
from geoopt.manifolds.base import Manifold

from gsam.manifolds.hyperbolic import Hyperbolic
from gsam.manifolds.lorentz import Lorentz
from gsam.manifolds.poincare import PoincareBall


def from_geoopt(manifold: Manifold) -> Hyperbolic:
    """The same manifold, over the formulas of this library; points and tangent vectors are the same tensors.

    Args:
        manifold: a ``geoopt.Lorentz(k)``, which is ``Lorentz(c=1 / k)``, or a ``geoopt.PoincareBall(c)``; those of this
            library are returned as they are. Curvature that is learnable stays so.

    Raises:
        TypeError: for other manifolds.
        ValueError: if the curvature is not negative.
    """
    if isinstance(manifold, Hyperbolic):
        return manifold
    kind: type[Hyperbolic]
    if isinstance(manifold, geoopt.Lorentz):
        kind, c = Lorentz, 1 / manifold.k.item()
    elif isinstance(manifold, geoopt.PoincareBall):
        kind, c = PoincareBall, manifold.c.item()
    else:
        raise TypeError(f"expected a geoopt.Lorentz or geoopt.PoincareBall, found {manifold}; others stay as they are")
    learnable = any(param.requires_grad for param in manifold.parameters())
    return kind(c, learnable).to(device=manifold.device, dtype=manifold.dtype)
