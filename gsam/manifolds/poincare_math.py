r"""Hyperbolic space as a ball: pure functions of points, tangent vectors and the curvature.

Points are tensors of shape ``(..., d)`` with :math:`\|x\| < 1/\sqrt c`; sectional curvature :math:`-c < 0`, where
``c`` is a float or a tensor that broadcasts against ``(..., 1)``. The metric is the Euclidean one times
:math:`\lambda_x^2`, :math:`\lambda_x = 2/g_x`, with the gap :math:`g_x = 1 - c\,\|x\|^2`; a tangent vector is any
vector of shape ``(..., d)``. Leading dimensions broadcast. No argument is written to, nothing waits for a device.

**Accuracy.** Every formula is written in differences of points and in gaps: the denominator of Moebius addition, for
one, is :math:`1 + 2c\langle x, y\rangle + c^2\|x\|^2\|y\|^2 = g_x g_y + c\,\|x + y\|^2`, a sum of positive terms. What
is left is the rounding of points, which moves them by up to about :math:`u\sinh(\sqrt c\,r)/\sqrt c` in **every**
direction (``u = eps / 2``): the Lorentz model keeps the radius, the ball does not. :func:`project` holds points within
:func:`max_radius`, 13.1 for :math:`c = 1` in float32, where that is about .02. A round trip of exponential map and
logarithm in float32 is certain to be right to 1e-4 (:func:`rounding_error`), for :math:`c = 1`, up to

======================  =====  ====  ====  ====  ====
distance moved          0.001  0.01  0.1   1     5
largest radius          0.10   0.89  2.85  4.03  1.92
======================  =====  ====  ====  ====  ====

and for a distance of 10 nowhere; other curvatures scale both lengths by :math:`1/\sqrt c`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gsam.manifolds import smooth
from gsam.manifolds.gyration import gyrate
from gsam.manifolds.precision import lifted
from gsam.manifolds.rows import Curvature, dot, keep, sqrt

_SAFETY = 16.0


def rounding_error(radius: float, distance: float, c: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    r"""Bound of the relative error of ``logmap(x, expmap(x, u))``, in the norm of the tangent space.

    .. math::
        16\,u \left(\cosh\rho + \frac{\sinh(\rho + \delta)}{\delta}\right),
        \qquad \rho = \sqrt c\,r, \quad \delta = \sqrt c\,\|u\|

    The second term is the rounding of the point reached, at most :math:`r + \|u\|` from the origin.

    Args:
        radius: distance of :math:`x` from the origin.
        distance: length of the tangent vector, above 0.
        c: minus the curvature.
        dtype: of the tensors.
    """
    rho, delta = math.sqrt(c) * radius, math.sqrt(c) * distance
    return _SAFETY * torch.finfo(dtype).eps / 2 * (math.cosh(rho) + math.sinh(rho + delta) / delta)


def margin(dtype: torch.dtype) -> float:
    r"""How far below 1 :func:`project` keeps :math:`\sqrt c\,\|x\|`: 32 units of rounding, 3.8e-6 in float32."""
    return 32 * torch.finfo(dtype).eps


def max_radius(c: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    """The largest distance from the origin that :func:`project` leaves: at c = 1 13.1 in float32, 33.2 in float64."""
    return 2 * math.atanh(1 - margin(dtype)) / math.sqrt(c)


# -- points ------------------------------------------------------------------------------------------------------------


@lifted
def project(x: Tensor, c: Curvature) -> Tensor:
    r"""``x`` where it is inside, else the nearest point of norm :math:`(1 - \text{margin})/\sqrt c`; ``(..., d)``."""
    most, square = 1 - margin(x.dtype), c * dot(x, x)
    outside = square > most**2
    return torch.where(outside, x * (most * torch.where(outside, square, 1.0).rsqrt()), x)


@lifted
def distance(x: Tensor, y: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""Geodesic distance, shape ``(...)``; at coincident points the gradient is 0.

    .. math::
        d(x, y) = \tfrac{2}{\sqrt c} \operatorname{asinh}\sqrt{z}, \qquad z = \frac{c\,\|x - y\|^2}{g_x g_y}
    """
    z = _chord(x, y, c)
    return keep(smooth.root(z) * smooth.asinhc(z) * (2 / sqrt(c)), keepdim)


@lifted
def squared_distance(x: Tensor, y: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""The square of :func:`distance`, shape ``(...)``; smooth everywhere, coincident points included."""
    z = _chord(x, y, c)
    return keep(z * smooth.asinhc(z).square() * (4 / c), keepdim)


@lifted
def distance0(x: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""Distance from the origin, :math:`2 \operatorname{atanh}(\sqrt c\,\|x\|)/\sqrt c`, shape ``(...)``."""
    square = c * dot(x, x)
    z = square / (1 - square)
    return keep(smooth.root(z) * smooth.asinhc(z) * (2 / sqrt(c)), keepdim)


@lifted
def mobius_add(x: Tensor, y: Tensor, c: Curvature) -> Tensor:
    r"""Moebius addition, shape ``(..., d)``; not projected.

    .. math::
        x \oplus y = \frac{(1 + 2c\langle x, y\rangle + c\|y\|^2)\,x + (1 - c\|x\|^2)\,y}
            {1 + 2c\langle x, y\rangle + c^2\|x\|^2\|y\|^2}
        = \frac{g_x (x + y) + s\,x}{g_x g_y + s}, \qquad s = c\,\|x + y\|^2
    """
    gap, total = _gap(x, c), x + y
    square = c * dot(total, total)
    return (gap * total + square * x) / (gap * _gap(y, c) + square)


def _gap(x: Tensor, c: Curvature) -> Tensor:
    return 1 - c * dot(x, x)


def _chord(x: Tensor, y: Tensor, c: Curvature) -> Tensor:
    difference = y - x
    return c * dot(difference, difference) / (_gap(x, c) * _gap(y, c))


# -- tangent vectors ---------------------------------------------------------------------------------------------------


@lifted
def conformal_factor(x: Tensor, c: Curvature, *, keepdim: bool = True) -> Tensor:
    r""":math:`\lambda_x = 2/(1 - c\,\|x\|^2)`, shape ``(..., 1)``."""
    return keep(2 / _gap(x, c), keepdim)


@lifted
def tangent_inner(x: Tensor, u: Tensor, v: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""The Riemannian product :math:`\lambda_x^2 \langle u, v\rangle`, shape ``(...)``."""
    return keep(dot(u, v) * conformal_factor(x, c).square(), keepdim)


@lifted
def to_origin(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""Transport to the origin in an orthonormal frame there: :math:`\lambda_x u`, of Euclidean length :math:`\|u\|_x`.

    As :func:`gsam.manifolds.lorentz_math.to_origin`; the coordinates of the ball at the origin are half of these.
    """
    return u * conformal_factor(x, c)


@lifted
def from_origin(x: Tensor, w: Tensor, c: Curvature) -> Tensor:
    r"""The inverse of :func:`to_origin`: :math:`w / \lambda_x`."""
    return w * (_gap(x, c) / 2)


@lifted
def riemannian_gradient(x: Tensor, g: Tensor, c: Curvature) -> Tensor:
    r"""The Riemannian gradient of a function whose ordinary gradient is ``g``: :math:`g / \lambda_x^2`."""
    return g * (_gap(x, c) / 2).square()


@lifted
def covector(x: Tensor, r: Tensor, c: Curvature) -> Tensor:
    r"""The ordinary gradient whose Riemannian gradient is ``r``: :math:`\lambda_x^2 r`."""
    return r * conformal_factor(x, c).square()


# -- exponential map, logarithm, transport -----------------------------------------------------------------------------


@lifted
def expmap(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""The exponential map, projected (:func:`project`).

    .. math::
        \exp_x(u) = x \oplus \left(\tanh(t)\,\frac{u}{\sqrt c\,\|u\|}\right), \qquad
        t = \tfrac{\sqrt c}{2} \lambda_x \|u\| = \sqrt c\,\|u\| / g_x

    Args:
        x: points, shape ``(..., d)``.
        u: tangent vectors at ``x``, shape ``(..., d)``.
        c: minus the curvature.

    Returns:
        Points, shape ``(..., d)``.
    """
    return project(unbounded_expmap(x, u, c), c)


@lifted
def unbounded_expmap(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    """:func:`expmap` before the projection: rounding may leave the point on the boundary of the ball, or beyond."""
    step = u / _gap(x, c)
    return mobius_add(x, smooth.tanhc(c * dot(step, step)) * step, c)


@lifted
def logmap(x: Tensor, y: Tensor, c: Curvature) -> Tensor:
    r"""The tangent vector at ``x`` that :func:`expmap` takes to ``y``.

    .. math::
        \log_x(y) = \frac{\operatorname{asinh}\sqrt z}{\sqrt{z (1 + z)}}\,
            \frac{g_x (y - x) - c\,\|y - x\|^2\,x}{g_y}, \qquad z = \frac{c\,\|y - x\|^2}{g_x g_y}

    Args:
        x: points, shape ``(..., d)``.
        y: points, shape ``(..., d)``.
        c: minus the curvature.

    Returns:
        Tangent vectors at ``x``, shape ``(..., d)``.
    """
    difference = y - x
    square = c * dot(difference, difference)
    gap_x, gap_y = _gap(x, c), _gap(y, c)
    z = square / (gap_x * gap_y)
    return (smooth.asinhc(z) * (1 + z).rsqrt() / gap_y) * (gap_x * difference - square * x)


@lifted
def transport(x: Tensor, y: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""Parallel transport of ``u`` from ``x`` to ``y`` along the geodesic.

    .. math::
        \frac{\lambda_x}{\lambda_y} \operatorname{gyr}[y, -x]\,u

    with the gyration in the form of :func:`gsam.manifolds.gyration.gyrate`. At ``y = x`` the result is ``u``.

    Args:
        x: points, shape ``(..., d)``.
        y: points, shape ``(..., d)``.
        u: tangent vectors at ``x``, shape ``(..., d)``.
        c: minus the curvature.

    Returns:
        Tangent vectors at ``y``, shape ``(..., d)``.
    """
    gap_x, gap_y = _gap(x, c), _gap(y, c)
    return gyrate(u, x, y, (gap_x, gap_y), c) * (gap_y / gap_x)


# -- at the origin -----------------------------------------------------------------------------------------------------


@lifted
def expmap0(u: Tensor, c: Curvature) -> Tensor:
    r"""The exponential map at the origin, :math:`\tanh(\sqrt c\,\|u\|)\,u / (\sqrt c\,\|u\|)`, projected.

    Args:
        u: tangent vectors at the origin in the coordinates of the ball, shape ``(..., d)``: the distance moved is
            :math:`2\,\|u\|`, as :math:`\lambda_0 = 2`.
        c: minus the curvature.

    Returns:
        Points, shape ``(..., d)``.
    """
    return project(unbounded_expmap0(u, c), c)


@lifted
def unbounded_expmap0(u: Tensor, c: Curvature) -> Tensor:
    """:func:`expmap0` before the projection."""
    return smooth.tanhc(c * dot(u, u)) * u


@lifted
def logmap0(x: Tensor, c: Curvature) -> Tensor:
    """The inverse of :func:`expmap0`, shape ``(..., d)``."""
    return smooth.atanhc(c * dot(x, x)) * x
