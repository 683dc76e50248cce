"""Hyperbolic space, right in float32: the Lorentz model and the Poincare ball as geoopt manifolds over pure functions.

Sectional curvature is ``-c`` with ``c > 0`` everywhere. What optimizers of any geoopt manifold need beside is here too:
the manifold of a parameter, parameter groups by manifold, and gradients as covectors. The pure functions do without
geoopt, which is imported when the first of the other names is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gsam.manifolds import lorentz_math, poincare_math, smooth

if TYPE_CHECKING:
    from gsam.manifolds.conversion import from_geoopt
    from gsam.manifolds.covectors import rgrad2egrad
    from gsam.manifolds.hyperbolic import Hyperbolic
    from gsam.manifolds.lorentz import Lorentz
    from gsam.manifolds.parameters import manifold_groups, manifold_of, record
    from gsam.manifolds.poincare import PoincareBall

__all__ = [
    "Hyperbolic",
    "Lorentz",
    "PoincareBall",
    "from_geoopt",
    "lorentz_math",
    "manifold_groups",
    "manifold_of",
    "poincare_math",
    "record",
    "rgrad2egrad",
    "smooth",
]

_LAZY = {
    "Hyperbolic": "hyperbolic",
    "Lorentz": "lorentz",
    "PoincareBall": "poincare",
    "from_geoopt": "conversion",
    "manifold_groups": "parameters",
    "manifold_of": "parameters",
    "record": "parameters",
    "rgrad2egrad": "covectors",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = getattr(importlib.import_module(f"gsam.manifolds.{_LAZY[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'gsam.manifolds' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
