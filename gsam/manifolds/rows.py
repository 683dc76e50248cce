"""Small helpers of the formulas: products of rows, and a curvature that is a number or a tensor."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from torch import Tensor

Curvature: TypeAlias = float | Tensor


def sqrt(c: Curvature) -> Any:
    """The square root of a float as a float, of a tensor as a tensor."""
    return c.sqrt() if isinstance(c, Tensor) else math.sqrt(c)


def dot(u: Tensor, v: Tensor) -> Tensor:
    """Products of rows, the last dimension kept: ``(..., n)`` and ``(..., n)`` to ``(..., 1)``."""
    return (u * v).sum(-1, keepdim=True)


def keep(value: Tensor, keepdim: bool) -> Tensor:
    """``(..., 1)`` as it is, or without the last dimension."""
    return value if keepdim else value.squeeze(-1)
