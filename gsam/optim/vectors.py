"""Lists of tensors as one long vector: the little algebra the optimizers need, without a Python loop per entry."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def values(tensor: Tensor) -> Tensor:
    """The stored entries of a gradient: the tensor itself, or the coalesced values of a sparse one."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Squared Euclidean norm of all entries together, a float64 scalar on the first tensor's device.

    The norms are taken per tensor in at least float32 and summed in float64, so half-precision gradients do not
    overflow and thousands of tensors cost one reduction.
    """
    if not tensors:
        return torch.zeros((), dtype=torch.float64)
    device = tensors[0].device
    low = tensors[0].dtype in (torch.float16, torch.bfloat16)
    norms = torch._foreach_norm(list(tensors), 2, dtype=torch.float32 if low else None)
    return torch.stack([norm.to(device=device, dtype=torch.float64) for norm in norms]).square().sum()


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner product of two aligned lists of dense tensors, a float64 scalar on the first tensor's device."""
    if not left:
        return torch.zeros((), dtype=torch.float64)
    device = left[0].device
    parts = [
        torch.dot(_flat(a), _flat(b)).to(device=device, dtype=torch.float64) for a, b in zip(left, right, strict=True)
    ]
    return torch.stack(parts).sum()


def _flat(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    return flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat


def host(*scalars: Tensor) -> list[float]:
    """Read several scalars with a single synchronisation."""
    device = scalars[0].device
    found: list[float] = torch.stack([scalar.to(device) for scalar in scalars]).tolist()
    return found


def norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm of all entries together, on the host; NaN or infinite if an entry is."""
    return math.sqrt(host(squared_norm(tensors))[0])


def rejection(tensors: Sequence[Tensor], axis: Sequence[Tensor]) -> list[Tensor]:
    r"""The part of ``tensors`` orthogonal to ``axis``: :math:`x - \frac{\langle x, h\rangle}{\|h\|^2} h`.

    Where ``axis`` is zero the vector is returned unchanged (as a copy).
    """
    inner, square = host(dot(tensors, axis), dot(axis, axis))
    share = inner / square if square > 0 else 0.0
    return list(torch._foreach_add(list(tensors), list(axis), alpha=-share))


def unit(tensors: Sequence[Tensor]) -> list[Tensor]:
    """``tensors`` divided by their common norm; zero stays zero."""
    length = norm(tensors)
    return list(torch._foreach_mul(list(tensors), 1.0 / length if length > 0 else 0.0))
