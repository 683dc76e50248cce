"""Lists of tensors as one long vector: the little algebra the optimizers need, without a Python loop per entry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_LOW = (torch.float16, torch.bfloat16)


def values(tensor: Tensor) -> Tensor:
    """The stored entries of a gradient: the tensor itself, or the coalesced values of a sparse one."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of each of n tensors: float64, shape ``(n,)``, on the first tensor's device.

    They are taken in at least float32, so half-precision gradients neither overflow nor lose digits.
    """
    if not tensors:
        return torch.zeros(0, dtype=torch.float64)
    low = [tensor.dtype in _LOW for tensor in tensors]
    if all(low) or not any(low):
        found = list(torch._foreach_norm(list(tensors), 2, dtype=torch.float32 if low[0] else None))
    else:
        found = [torch.linalg.vector_norm(t.float() if half else t) for t, half in zip(tensors, low, strict=True)]
    return torch.stack([norm.to(device=tensors[0].device, dtype=torch.float64) for norm in found])


def squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Squared Euclidean norm of all entries together, a float64 scalar on the first tensor's device."""
    return norms(tensors).square().sum()


def dots(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner products of n aligned pairs of dense tensors: float64, shape ``(n,)``, on the first tensor's device."""
    if not left:
        return torch.zeros(0, dtype=torch.float64)
    pairs = zip(left, right, strict=True)
    return torch.stack([torch.dot(_flat(a), _flat(b)).to(left[0].device, torch.float64) for a, b in pairs])


def _flat(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    return flat.float() if flat.dtype in _LOW else flat


def host(*scalars: Tensor) -> list[float]:
    """Read several scalars with a single synchronisation."""
    device = scalars[0].device
    found: list[float] = torch.stack([scalar.to(device) for scalar in scalars]).tolist()
    return found


def norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm of all entries together, on the host; NaN or infinite if an entry is."""
    return math.sqrt(host(squared_norm(tensors))[0])


def unit_rejection(tensors: Sequence[Tensor], axis: Sequence[Tensor], *, together: bool = True) -> list[Tensor]:
    r"""The direction of the part of a vector :math:`v` that is orthogonal to ``axis`` :math:`h`.

    .. math::
        r = v - \tfrac{\langle v, h\rangle}{\|h\|^2} h, \qquad r / \|r\|

    A part no longer than the rounding error of :math:`v` (``eps ** 0.75`` of its length) has no direction: zero is
    returned, not amplified noise. Where ``axis`` is zero, :math:`r = v`.

    Args:
        tensors: the entries of the vector.
        axis: those of the axis, aligned with ``tensors``.
        together: whether all tensors form one vector, or each one of its own.
    """
    if not tensors:
        return []
    inner, axis_square, square = _totals([dots(tensors, axis), dots(axis, axis), dots(tensors, tensors)], together)
    shares = [-i / a if a > 0 else 0.0 for i, a in zip(inner, axis_square, strict=True)]
    parts = list(torch._foreach_add(list(tensors), torch._foreach_mul(list(axis), shares)))
    (left,) = _totals([norms(parts).square()], together)
    noise = max(torch.finfo(tensor.dtype).eps for tensor in tensors) ** 1.5
    scales = [0.0 if rest <= noise * whole else rest**-0.5 for rest, whole in zip(left, square, strict=True)]
    torch._foreach_mul_(parts, scales)
    return parts


def _totals(rows: list[Tensor], together: bool) -> list[list[float]]:
    """Read rows of n numbers with one synchronisation; each number replaced by its row's sum if ``together``."""
    found: list[list[float]] = torch.stack(rows).tolist()
    return [[sum(row)] * len(row) for row in found] if together else found
