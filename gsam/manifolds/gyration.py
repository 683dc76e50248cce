"""The rotation that transport along a geodesic is, seen from frames carried out from the origin."""

from __future__ import annotations

import torch
from torch import Tensor

from gsam.manifolds.rows import Curvature, dot


def gyrate(w: Tensor, p: Tensor, q: Tensor, gaps: tuple[Tensor, Tensor], c: Curvature) -> Tensor:
    r"""Rotate ``w`` by the angle defect of the triangle of the origin and the points ``p`` and ``q`` of the ball.

    .. math::
        \operatorname{gyr}[q, -p]\,w = w + \frac{2}{D} (A\,d + B\,p), \qquad
        d = q - p, \quad D = g_p g_q + c\,\|d\|^2, \quad g_p = 1 - c\,\|p\|^2

    .. math::
        A = c\,\bigl(2 c \langle p, d\rangle \langle p, w\rangle - g_p \langle p, w\rangle
            - c\,\|p\|^2 \langle d, w\rangle\bigr), \qquad
        B = c\,\bigl(g_p \langle d, w\rangle - c\,\|d\|^2 \langle p, w\rangle\bigr)

    This is the gyration of Ungar, *Analytic Hyperbolic Geometry* (2005), written in the difference :math:`d`: nothing
    in it cancels near the boundary of the ball, and at ``q = p`` it is ``w``.

    Args:
        w: shape ``(..., d)``.
        p: points of the Poincare ball, shape ``(..., d)``.
        q: points of the Poincare ball, shape ``(..., d)``.
        gaps: :math:`g_p` and :math:`g_q`, shape ``(..., 1)``, which the caller may know better than ``p`` tells.
        c: minus the curvature.

    Returns:
        Shape ``(..., d)``.
    """
    gap_p, gap_q = gaps
    difference = q - p
    along_p, along_d = dot(p, w), dot(difference, w)
    square = c * dot(difference, difference)
    first = (2 * c * dot(p, difference) - gap_p) * along_p - (1 - gap_p) * along_d
    second = gap_p * along_d - square * along_p
    factor = 2 * c / (gap_p * gap_q + square)
    return torch.addcmul(torch.addcmul(w, factor * first, difference), factor * second, p)
