"""Squared hyperbolic distances from what matrix products give: the squared sine of half the distance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_TINY = 1e-37  # both sides of a quotient that is 1 at 0
_NEAR = 1e-3  # below it the series is exact to rounding, and the closed form's derivatives cancel


def squared_distance(half: Tensor, c: float | Tensor = 1.0) -> Tensor:
    r"""Return :math:`d^2 = \frac{4}{c} \mathrm{arsinh}^2 \sqrt{s}` for :math:`s = \sinh^2(\sqrt c\, d / 2)`.

    The square is smooth where the distance is not: its derivative at s = 0 is 4/c, so gradients at coincident points
    are exact. A slightly negative s, which rounding makes of a sum that should vanish, counts as 0 and lets the
    gradient through.

    Accuracy: an absolute error e of s is an error of at most 4 e / c of the square, whatever the distance.

    Args:
        half: s, any shape.
        c: curvature, broadcastable.
    """
    return _SquaredArsinhRoot.apply(half) * (4 / c)


class _SquaredArsinhRoot(torch.autograd.Function):
    """The square of arsinh(sqrt(s)), differentiable any number of times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(s: Tensor) -> Tensor:
        angle = _arsinh_root(s.clamp_min(0))
        return angle.mul_(angle)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        s, square = ctx.saved_tensors
        return grad * (_smooth_slope(s) if torch.is_grad_enabled() else _slope(s, square))


def _slope(s: Tensor, square: Tensor) -> Tensor:
    """Return arsinh(sqrt(s)) / sqrt(s (1 + s)) from s and arsinh(sqrt(s))^2, 1 where s is not positive."""
    s = s.clamp_min(0)
    return (square + _TINY).div_(s + _TINY).div_(s.add_(1)).sqrt_()


def _smooth_slope(s: Tensor) -> Tensor:
    """Return the same in a form whose own derivatives are right near 0, at three times the cost."""
    near = s < _NEAR
    far = torch.where(near, 1.0, s)
    low = torch.where(near, s, 0.0).clamp_min(0)
    series = 1 - low * (2 / 3 - low * (8 / 15 - low * (16 / 35 - low * (128 / 315))))
    return torch.where(near, series, _arsinh_root(far) * far.rsqrt() * (1 + far).rsqrt())


def _arsinh_root(s: Tensor) -> Tensor:
    """Return arsinh(sqrt(s)), s >= 0; on a CPU torch.arcsinh takes some 15 times as long as log1p."""
    return torch.log1p(s.sqrt() + s / (1 + (1 + s).sqrt()))
