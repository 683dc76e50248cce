"""Gradient clipping over dense and row-sparse gradients, on the device."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gsam.optim.vectors import squared_norm, values


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], bound: float) -> None:
    """Scale all gradients together so that their Euclidean norm is at most ``bound``, without waiting for the device.

    Row-sparse gradients are coalesced. As with PyTorch's, an entry that is not finite becomes, or stays, NaN.
    """
    entries: list[Tensor] = []
    for parameter in parameters:
        grad = parameter.grad
        if grad is not None and grad.is_sparse:
            parameter.grad = grad = grad.coalesce()
        if grad is not None:
            entries.append(values(grad))
    factor = (bound / squared_norm(entries).sqrt()).clamp(max=1.0)
    for entry in entries:
        entry.mul_(factor.to(entry))
