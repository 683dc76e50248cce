r"""Hyperbolic space as a sheet of a hyperboloid: pure functions of points, tangent vectors and the curvature.

Points are tensors of shape ``(..., d + 1)`` with the time coordinate at index 0,

.. math::
    \langle x, y\rangle_L = -x_0 y_0 + \sum_{i \ge 1} x_i y_i, \qquad \langle x, x\rangle_L = -1/c, \qquad x_0 > 0,

of sectional curvature :math:`-c < 0`; ``c`` is a float or a tensor that broadcasts against ``(..., 1)``. A tangent
vector :math:`u` at :math:`x` has the same shape and :math:`\langle x, u\rangle_L = 0`: its time coordinate
:math:`u_0 = \langle x_{1:}, u_{1:}\rangle / x_0` says nothing new; only :func:`inner` and :func:`project_tangent` read
it, and :func:`expmap_transport` passes it on. Leading dimensions broadcast. No argument is written to, nothing waits
for a device, nothing is checked: outside the range below results are infinite or NaN.

**Accuracy.** Textbook formulas take differences of numbers as large as :math:`\cosh^2(\sqrt c\,r)` at distance
:math:`r` from the origin. Here each difference is taken before it is squared, between vectors that are no longer than
the coordinates themselves, so a result is as good as the rounding of points and tangent vectors allows. Rounding
moves a point across the radius by about :math:`u \sinh(\sqrt c\,r)/\sqrt c` (``u = eps / 2``, 6e-8 in float32) and
turns a tangent vector by up to :math:`u\cosh(\sqrt c\,r)`. No formula in these coordinates can do better;
:func:`rounding_error` bounds what an exponential map followed by a logarithm loses. In float32 it is certain to be
right to 1e-4, for :math:`c = 1`, up to

======================  =====  ====  ====  ====  ====  ====  ====
distance moved          0.001  0.01  0.1   1     5     10    20
largest radius          0.10   0.90  2.94  4.50  4.65  4.65  4.65
======================  =====  ====  ====  ====  ====  ====  ====

and other curvatures scale both lengths by :math:`1/\sqrt c`. Beyond, the error grows as :math:`e^r`, until at
:math:`u \cosh(\sqrt c\,r) = 1` (radius 17.3 in float32, 37.4 in float64) a rounded tangent vector has neither a
direction nor a length. Points and their distances from the origin are as good there as anywhere, up to
:func:`max_radius`; the distance of two points is known to about ``u`` times the coordinates of the nearer one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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
        16\,u \left(\cosh\rho + \sinh\rho \coth\delta\right) = 16\,u\,\frac{\sinh(\rho + \delta)}{\sinh \delta},
        \qquad \rho = \sqrt c\,r, \quad \delta = \sqrt c\,\|u\|

    The first term is the rounding of the tangent vector, the second that of the point it leads to, seen from
    :math:`x`; 16 stands for the operations in between.

    Args:
        radius: distance of :math:`x` from the origin.
        distance: length of the tangent vector, above 0.
        c: minus the curvature.
        dtype: of the tensors.
    """
    rho, delta = math.sqrt(c) * radius, math.sqrt(c) * distance
    return _SAFETY * torch.finfo(dtype).eps / 2 * (math.cosh(rho) + math.sinh(rho) / math.tanh(delta))


def max_radius(c: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    r"""The largest distance from the origin that the formulas here take, for ``c = 1`` 41.5 in float32.

    Coordinates stay below a thirty-second of the square root of the largest number, so that the products of points
    and logarithms are finite; in float64 it is 352.
    """
    largest = math.sqrt(torch.finfo(dtype).max) / 32
    return math.asinh(largest * min(1.0, math.sqrt(c))) / math.sqrt(c)


# -- points ------------------------------------------------------------------------------------------------------------


@lifted
def lift(space: Tensor, c: Curvature) -> Tensor:
    r"""The point with the given space coordinates: :math:`x_0 = \sqrt{1/c + \|x_{1:}\|^2}`.

    Args:
        space: shape ``(..., d)``.
        c: minus the curvature.

    Returns:
        Shape ``(..., d + 1)``.
    """
    return torch.cat([(dot(space, space) + 1 / c).sqrt(), space], -1)


@lifted
def distance(x: Tensor, y: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""Geodesic distance, shape ``(...)``, from the length of the chord :math:`x - y`.

    .. math::
        d(x, y) = \tfrac{2}{\sqrt c} \operatorname{asinh}\left(\tfrac{\sqrt c}{2} \|x - y\|_L\right), \qquad
        \|x - y\|_L = \left\| \sqrt{h_y/h_x}\; x_{1:} - \sqrt{h_x/h_y}\; y_{1:} \right\|, \quad h = 1 + \sqrt c\, x_0

    The second identity is the chordal distance of the two points in the Poincare ball. It is one difference of
    vectors, taken as :math:`x_{1:} - y_{1:}` and a correction, so that it is never negative and is exact to rounding
    for neighbours. At coincident points the gradient is 0.
    """
    z, _ = _chord(x, y, c)
    return keep(smooth.root(z) * smooth.asinhc(z) * (2 / sqrt(c)), keepdim)


@lifted
def squared_distance(x: Tensor, y: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""The square of :func:`distance`, shape ``(...)``; smooth everywhere, coincident points included."""
    z, _ = _chord(x, y, c)
    return keep(z * smooth.asinhc(z).square() * (4 / c), keepdim)


@lifted
def distance0(x: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    r"""Distance from the origin, :math:`\operatorname{asinh}(\sqrt c\,\|x_{1:}\|)/\sqrt c`, shape ``(...)``."""
    z = c * dot(x[..., 1:], x[..., 1:])
    return keep(smooth.root(z) * smooth.asinhc(z) / sqrt(c), keepdim)


def _chord(x: Tensor, y: Tensor, c: Curvature) -> tuple[Tensor, Tensor]:
    r"""``c <y-x, y-x>_L / 4``, which is :math:`\sinh^2(\sqrt c\,d/2)`, and the space part of ``y - x``."""
    x0, xs, y0, ys = x[..., :1], x[..., 1:], y[..., :1], y[..., 1:]
    root_c = sqrt(c)
    hx, hy = 1 + root_c * x0, 1 + root_c * y0
    space = ys - xs
    time = dot(space, xs + ys) / (x0 + y0)
    scale = (hx * hy).rsqrt()
    nearer = hx < hy  # hx ys - hy xs, with the difference times the smaller factor and the rest times the nearer point
    least, near = torch.where(nearer, hx, hy), torch.where(nearer, xs, ys)
    chord = torch.addcmul((least * scale) * space, root_c * scale * time, near, value=-1)
    return dot(chord, chord) * (c / 4), space


# -- tangent vectors ---------------------------------------------------------------------------------------------------


@lifted
def inner(u: Tensor, v: Tensor, *, keepdim: bool = False) -> Tensor:
    r"""The Minkowski product :math:`\langle u, v\rangle_L = -u_0 v_0 + \sum_{i \ge 1} u_i v_i`, shape ``(...)``.

    For two tangent vectors use :func:`tangent_inner`, which loses no digits far from the origin.
    """
    product = u * v
    return keep(product[..., 1:].sum(-1, keepdim=True) - product[..., :1], keepdim)


@lifted
def to_origin(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""Transport of a tangent vector at :math:`x` to the origin, an isometry onto flat space.

    .. math::
        w = u_{1:} - \frac{c\,\langle x_{1:}, u_{1:}\rangle}{C (1 + C)}\, x_{1:}, \qquad C = \sqrt c\,x_0

    Args:
        x: points, shape ``(..., d + 1)``.
        u: tangent vectors at ``x``, shape ``(..., d + 1)``.
        c: minus the curvature.

    Returns:
        The space coordinates, shape ``(..., d)``; the time coordinate of a tangent vector at the origin is 0.
    """
    return _flatten(x, u, c)[0]


def _flatten(x: Tensor, u: Tensor, c: Curvature) -> tuple[Tensor, Tensor]:
    """:func:`to_origin`, and the product of the space part of ``x`` with that."""
    xs, us = x[..., 1:], u[..., 1:]
    cosh = sqrt(c) * x[..., :1]
    along = dot(xs, us) / cosh
    return torch.addcmul(us, xs, along * (-c / (1 + cosh))), along


@lifted
def from_origin(x: Tensor, w: Tensor, c: Curvature) -> Tensor:
    r"""Transport of a tangent vector at the origin, given by its space coordinates, to :math:`x`.

    .. math::
        u_{1:} = w + \frac{c\,\langle x_{1:}, w\rangle}{1 + \sqrt c\,x_0}\, x_{1:}, \qquad
        u_0 = \sqrt c\,\langle x_{1:}, w\rangle

    Args:
        x: points, shape ``(..., d + 1)``.
        w: shape ``(..., d)``.
        c: minus the curvature.

    Returns:
        Tangent vectors at ``x``, shape ``(..., d + 1)``.
    """
    xs, root_c = x[..., 1:], sqrt(c)
    time = root_c * dot(xs, w)
    return torch.cat([time, torch.addcmul(w, xs, root_c * time / (1 + root_c * x[..., :1]))], -1)


@lifted
def tangent_inner(x: Tensor, u: Tensor, v: Tensor, c: Curvature, *, keepdim: bool = False) -> Tensor:
    """The Riemannian product of two tangent vectors at ``x``, shape ``(...)``: their Minkowski product.

    It is taken at the origin (:func:`to_origin`), where it is a sum of products of like size; ``u`` with itself gives
    no negative number.
    """
    flat = to_origin(x, u, c)
    return keep(dot(flat, flat if v is u else to_origin(x, v, c)), keepdim)


@lifted
def project_tangent(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""Orthogonal projection of any vector to the tangent space, :math:`u + c\,\langle x, u\rangle_L\, x`."""
    return torch.addcmul(u, c * inner(x, u, keepdim=True), x)


@lifted
def riemannian_gradient(x: Tensor, g: Tensor, c: Curvature) -> Tensor:
    r"""The Riemannian gradient of a function whose ordinary gradient is ``g``, the projection of :math:`J g`.

    .. math::
        J g + c\,\langle x, g\rangle\, x, \qquad J = \operatorname{diag}(-1, 1, \ldots, 1)
    """
    flipped = torch.cat([-g[..., :1], g[..., 1:]], -1)
    return torch.addcmul(flipped, c * dot(x, g), x)


@lifted
def covector(x: Tensor, r: Tensor, c: Curvature) -> Tensor:
    r"""An ordinary gradient whose Riemannian gradient is the tangent vector ``r``.

    .. math::
        g_0 = 0, \qquad g_{1:} = r_{1:} - x_{1:} \langle x_{1:}, r_{1:}\rangle / x_0^2

    Of all of them the one of a function of the space coordinates alone. It is taken as two equal factors
    (:func:`to_origin` applied twice), which keeps the digits that one loses.
    """
    half = to_origin(x, r, c)
    return torch.nn.functional.pad(to_origin(x, torch.nn.functional.pad(half, (1, 0)), c), (1, 0))


# -- exponential map, logarithm, transport -----------------------------------------------------------------------------


@lifted
def expmap(x: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""The exponential map: where the geodesic from ``x`` with velocity ``u`` is at time 1.

    .. math::
        \exp_x(u) = \cosh(\delta)\, x + \frac{\sinh\delta}{\delta}\, u, \qquad \delta = \sqrt c\,\|u\|_L

    evaluated without the cancellation of its two terms, and the time coordinate from the others (:func:`lift`).

    Args:
        x: points, shape ``(..., d + 1)``.
        u: tangent vectors at ``x``, shape ``(..., d + 1)``.
        c: minus the curvature.

    Returns:
        Points, shape ``(..., d + 1)``.
    """
    return _move(x, u, c).point


@lifted
def expmap_transport(x: Tensor, u: Tensor, v: Tensor, c: Curvature) -> tuple[Tensor, Tensor]:
    r""":math:`y = \exp_x(u)`, and ``v`` transported from ``x`` to there along the way.

    .. math::
        v + \frac{c\,\langle u, v\rangle_L \sinh(\delta) / \delta}{1 + \cosh\delta}\,(x + y)

    One pass for both, for the steps of optimizers: less work than :func:`expmap` and :func:`transport`. Its rounding
    error is that of a tangent vector at :math:`\sqrt c\,(r + \|u\|)`, also where ``u`` leads inwards.
    """
    moved = _move(x, u, c)
    flat, along = _flatten(x, v, c)
    product = torch.addcmul(dot(moved.rest, flat), moved.share, along)
    return moved.point, torch.addcmul(v, c * moved.slope * product, x + moved.point)


class _Move(NamedTuple):
    point: Tensor
    rest: Tensor
    share: Tensor
    slope: Tensor


def _move(x: Tensor, u: Tensor, c: Curvature) -> _Move:
    r"""The exponential map and what :func:`expmap_transport` needs.

    With :math:`w` the tangent vector at the origin (:func:`to_origin`), :math:`C = \sqrt c\,x_0`, :math:`h = 1 + C`
    and :math:`\beta = c\,\langle x_{1:}, w\rangle/h`, the space part of the result is
    :math:`\kappa\,x_{1:} + \sinh(\delta)/\delta\; w` with :math:`\kappa = \cosh\delta + \beta\sinh(\delta)/\delta`.
    Inwards (:math:`\beta < 0`) the terms of :math:`\kappa` cancel; by :math:`\kappa \kappa' = 1 +
    (\sinh(\delta)/\delta)^2 (\delta^2 - \beta^2)`, with :math:`\kappa'` the sum for :math:`-\beta`, no difference is
    left. And :math:`\delta^2 - \beta^2 = c\,\|f\|^2` for the vector :math:`f = w - s\,x_{1:}` below.
    """
    x0, xs, us = x[..., :1], x[..., 1:], u[..., 1:]
    cosh_x = sqrt(c) * x0
    h = 1 + cosh_x
    ratio = (2 / h).sqrt()
    along = dot(xs, us) / cosh_x
    beta = c * along / h
    share = beta / (h * (1 + ratio))
    rest = torch.addcmul(us, xs, beta + share, value=-1)
    radial, exact = dot(xs, rest), ratio * along
    slip = (exact - radial) / (x0 * x0)  # what rounding left in the radial part: zero but for it
    share = share + slip
    across = c * (dot(rest, rest) + slip * (exact + radial))
    square = across + beta * beta
    sinhc = smooth.sinhc(square)
    cosh = (1 + square * sinhc * sinhc).sqrt()
    turn = sinhc * beta
    kappa = torch.where(beta < 0, (1 + across * sinhc * sinhc) / (cosh + turn.abs()), cosh + turn)
    point = lift(torch.addcmul(sinhc * rest, xs, kappa + sinhc * share), c)
    return _Move(point, rest, share, sinhc / (1 + cosh))


@lifted
def logmap(x: Tensor, y: Tensor, c: Curvature) -> Tensor:
    r"""The tangent vector at ``x`` that :func:`expmap` takes to ``y``.

    .. math::
        \log_x(y) = \frac{\operatorname{asinh}\sqrt z}{\sqrt{z (1 + z)}}\,(y - x - 2 z\,x), \qquad
        z = \tfrac{c}{4}\langle y - x, y - x\rangle_L = \sinh^2(\sqrt c\,d/2)

    Args:
        x: points, shape ``(..., d + 1)``.
        y: points, shape ``(..., d + 1)``.
        c: minus the curvature.

    Returns:
        Tangent vectors at ``x``, shape ``(..., d + 1)``.
    """
    x0, xs = x[..., :1], x[..., 1:]
    z, difference = _chord(x, y, c)
    factor = smooth.asinhc(z) * (1 + z).rsqrt()
    space = torch.addcmul(factor * difference, 2 * z * factor, xs, value=-1)
    return torch.cat([dot(xs, space) / x0, space], -1)


@lifted
def transport(x: Tensor, y: Tensor, u: Tensor, c: Curvature) -> Tensor:
    r"""Parallel transport of the tangent vector ``u`` from ``x`` to ``y`` along the geodesic.

    .. math::
        u + \frac{c\,\langle y, u\rangle_L}{1 - c\,\langle x, y\rangle_L}\,(x + y)

    evaluated as transport to the origin, a rotation there (:func:`gsam.manifolds.gyration.gyrate`) and transport to
    ``y``, which loses no more digits than the rounding of ``u`` and of the result.

    Args:
        x: points, shape ``(..., d + 1)``.
        y: points, shape ``(..., d + 1)``.
        u: tangent vectors at ``x``, shape ``(..., d + 1)``.
        c: minus the curvature.

    Returns:
        Tangent vectors at ``y``, shape ``(..., d + 1)``.
    """
    root_c = sqrt(c)
    hx, hy = 1 + root_c * x[..., :1], 1 + root_c * y[..., :1]
    turned = gyrate(to_origin(x, u, c), x[..., 1:] / hx, y[..., 1:] / hy, (2 / hx, 2 / hy), c)
    return from_origin(y, turned, c)


# -- at the origin -----------------------------------------------------------------------------------------------------


@lifted
def expmap0(u: Tensor, c: Curvature) -> Tensor:
    r"""The exponential map at the origin: space part :math:`\sinh(\sqrt c\,\|u\|)\, u / (\sqrt c\,\|u\|)`.

    Args:
        u: tangent vectors at the origin as space coordinates, shape ``(..., d)``: their length is the distance moved.
        c: minus the curvature.

    Returns:
        Points, shape ``(..., d + 1)``.
    """
    return lift(smooth.sinhc(c * dot(u, u)) * u, c)


@lifted
def logmap0(x: Tensor, c: Curvature) -> Tensor:
    """The inverse of :func:`expmap0`: points ``(..., d + 1)`` to tangent vectors at the origin ``(..., d)``."""
    xs = x[..., 1:]
    return smooth.asinhc(c * dot(xs, xs)) * xs


# -- the other model ---------------------------------------------------------------------------------------------------


@lifted
def to_poincare(x: Tensor, c: Curvature) -> Tensor:
    r"""The same points in the Poincare ball of radius :math:`1/\sqrt c`: :math:`p = x_{1:}/(1 + \sqrt c\,x_0)`.

    Args:
        x: shape ``(..., d + 1)``.
        c: minus the curvature, the same in both models.

    Returns:
        Shape ``(..., d)``.
    """
    return x[..., 1:] / (1 + sqrt(c) * x[..., :1])


@lifted
def from_poincare(p: Tensor, c: Curvature) -> Tensor:
    r"""The inverse of :func:`to_poincare`: :math:`x_{1:} = 2 p / (1 - c\,\|p\|^2)`."""
    return lift(p * (2 / (1 - c * dot(p, p))), c)
