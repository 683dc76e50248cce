r"""Even functions of a length :math:`t`, written in :math:`z = t^2`: smooth where the length is zero.

``sinh(t) / t`` of a norm :math:`t = \|u\|` has a derivative of the form 0/0 at :math:`u = 0`, and near it the rounding
error of a difference is divided by :math:`t^2`. As a function of :math:`z` it is a power series. Each function takes
the series up to :math:`z^5` below ``eps ** (1/6)``, where the next term is below the rounding error, and the closed
form above. The argument of the branch that is not taken is replaced, so that none of its derivatives is infinite.
Derivatives of any order are those of automatic differentiation; a NaN stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_SINHC = (1.0, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880, 1 / 39916800)
_TANHC = (1.0, -1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)
_ASINHC = (1.0, -1 / 6, 3 / 40, -5 / 112, 35 / 1152, -63 / 2816)
_ATANHC = (1.0, 1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11)


def sinhc(z: Tensor) -> Tensor:
    r""":math:`\sinh\sqrt z / \sqrt z` for :math:`z \ge 0`; 1 at 0."""
    return _even(z, _SINHC, torch.sinh)


def tanhc(z: Tensor) -> Tensor:
    r""":math:`\tanh\sqrt z / \sqrt z` for :math:`z \ge 0`; 1 at 0."""
    return _even(z, _TANHC, torch.tanh)


def asinhc(z: Tensor) -> Tensor:
    r""":math:`\operatorname{asinh}\sqrt z / \sqrt z` for :math:`z \ge 0`; 1 at 0."""
    return _even(z, _ASINHC, torch.asinh)


def atanhc(z: Tensor) -> Tensor:
    r""":math:`\operatorname{atanh}\sqrt z / \sqrt z` for :math:`0 \le z < 1`; 1 at 0."""
    return _even(z, _ATANHC, torch.atanh)


def root(z: Tensor) -> Tensor:
    r""":math:`\sqrt z` for :math:`z \ge 0`, with derivative 0 at 0, one of the subgradients of a length there."""
    zero = z == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, z).sqrt())


def _even(z: Tensor, series: Sequence[float], odd: Callable[[Tensor], Tensor]) -> Tensor:
    small = z < torch.finfo(z.dtype).eps ** (1 / 6)
    near, length = torch.where(small, z, 0.0), torch.where(small, 0.25, z).sqrt()
    total = near * series[-1]
    for coefficient in reversed(series[1:-1]):
        total = (total + coefficient) * near
    return torch.where(small, total + series[0], odd(length) / length)
