"""Hyperbolic space, right in float32: the Lorentz model and the Poincare ball as geoopt manifolds over pure functions.

Sectional curvature is ``-c`` with ``c > 0`` everywhere. What optimizers of any geoopt manifold need beside is here too:
the manifold of a parameter, parameter groups by manifold, and gradients as covectors. The formulas are the functions of
:mod:`gsam.manifolds.lorentz_math` and :mod:`gsam.manifolds.poincare_math`, which do without geoopt; it is imported when
the first name of this module is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
    "manifold_groups",
    "manifold_of",
    "record",
    "rgrad2egrad",
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
