"""Gradient clipping over dense and row-sparse gradients, on the device."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gsam.optim.clipping import coalesced, scale_to_
from gsam.optim.shards import WHOLE, Shards


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], bound: float, shards: Shards = WHOLE) -> None:
    """Scale all gradients together so that their Euclidean norm is at most ``bound``, without waiting for the device.

    Row-sparse gradients are coalesced. As with PyTorch's, an entry that is not finite becomes, or stays, NaN.
    """
    entries = coalesced(parameters)
    scale_to_(entries, shards.squared_norm(entries), bound)
