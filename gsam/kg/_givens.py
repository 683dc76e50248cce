"""Rotations and reflections of the plane, one for each pair of coordinates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rotate(planes: Tensor, x: Tensor) -> Tensor:
    """Rotate each pair of coordinates of ``x`` [B, d] by the direction of the same pair of ``planes`` [B, d].

    A direction (cos a, sin a), of any length above 0, maps (p, q) to (p cos a - q sin a, p sin a + q cos a).
    """
    (cos, sin), (p, q) = _directions(planes), _pairs(x)
    return torch.stack([cos * p - sin * q, sin * p + cos * q], -1).flatten(-2)


def reflect(planes: Tensor, x: Tensor) -> Tensor:
    """Reflect each pair of coordinates of ``x`` [B, d] by the direction of the same pair of ``planes`` [B, d].

    A direction (cos a, sin a), of any length above 0, maps (p, q) to (p cos a + q sin a, p sin a - q cos a): the line
    at angle a / 2 stays where it is.
    """
    (cos, sin), (p, q) = _directions(planes), _pairs(x)
    return torch.stack([cos * p + sin * q, sin * p - cos * q], -1).flatten(-2)


def _directions(planes: Tensor) -> tuple[Tensor, ...]:
    return F.normalize(planes.unflatten(-1, (-1, 2)), dim=-1).unbind(-1)


def _pairs(x: Tensor) -> tuple[Tensor, ...]:
    return x.unflatten(-1, (-1, 2)).unbind(-1)
