"""Copies that are made at every step, in memory that is asked for once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Scratch:
    """Named copies of lists of tensors; each call fills the memory of the one before.

    A copy of the weights at every step would otherwise be given back to the system and asked for again, and the page
    faults cost more than the copying does. Costs as much memory between steps as within one. Copies and
    pickles start empty.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Tensor]] = {}

    def copy(self, name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Copies of dense or row-sparse ``tensors``; those an earlier call gave under this name are overwritten."""
        kept = self._kept.get(name, [])
        if len(kept) != len(tensors) or not all(map(_fits, kept, tensors)):
            kept = [torch.empty_like(tensor) if _plain(tensor) else tensor for tensor in tensors]
        self._kept[name] = kept = [old if _plain(new) else new.clone() for old, new in zip(kept, tensors, strict=True)]
        # a copy that comes back, as the gradient FGSAM+ puts back before its ascent, holds its values already
        dense = [number for number, tensor in enumerate(tensors) if _plain(tensor) and tensor is not kept[number]]
        if dense:
            torch._foreach_copy_([kept[i] for i in dense], [tensors[i] for i in dense])
        return kept

    def copy_values(self, name: str, found: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """The same for the values of a mapping."""
        return dict(zip(found, self.copy(name, list(found.values())), strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return {"_kept": {}}


def _plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided


def _fits(kept: Tensor, tensor: Tensor) -> bool:
    return (
        kept.layout == tensor.layout
        and kept.shape == tensor.shape
        and kept.dtype == tensor.dtype
        and kept.device == tensor.device
    )
