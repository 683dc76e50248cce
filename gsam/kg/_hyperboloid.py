"""The Poincaré ball's origin maps and Möbius addition in hyperboloid coordinates, where float32 keeps its precision.

A point of the ball of curvature -1 at distance D from the origin has norm tanh(D / 2), and 1 less the norm is all that
tells far points apart; its image on the hyperboloid has the space coordinates ``sinh(D) * direction``, which round
relative to their own size.
"""

from __future__ import annotations

from torch import Tensor

from gsam.kg._tables import clip_rows
from gsam.manifolds import lorentz_math

#: distance from the origin beyond which a point counts as lying at it, in units of 1/sqrt(c)
MAX_RADIUS = 12.0


def exp0(tangent: Tensor) -> Tensor:
    """Image on the hyperboloid of the ball's exponential map at the origin, [..., d] to space coordinates [..., d].

    The ball's metric is 4 times Euclid's at the origin, so the point lies at twice the tangent's norm.
    """
    return lorentz_math.expmap0(2 * clip_rows(tangent, MAX_RADIUS / 2), 1.0)[..., 1:]


def mobius_add(x: Tensor, y: Tensor) -> Tensor:
    """Space coordinates of the Möbius sum: y moved by the boost that takes the origin to x, [..., d]."""
    x_time, y_time = lorentz_math.lift(x, 1.0)[..., :1], lorentz_math.lift(y, 1.0)[..., :1]
    return y + x * (y_time + (x * y).sum(-1, keepdim=True) / (1 + x_time))
