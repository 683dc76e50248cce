"""Hyperbolic space, right in float32: the Lorentz model and the Poincare ball as geoopt manifolds over pure functions.

Sectional curvature is ``-c`` with ``c > 0`` everywhere. What optimizers of any geoopt manifold need beside is here too:
the manifold of a parameter, parameter groups by manifold, and gradients as covectors. The formulas are the functions of
:mod:`gsam.manifolds.lorentz_math` and :mod:`gsam.manifolds.poincare_math`.
"""

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
