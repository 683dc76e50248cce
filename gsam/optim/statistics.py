"""Keep running statistics as they are during a pass at perturbed weights.

A second forward pass must not move batch-norm averages: they would count every batch twice, and once at weights the
model never has. Switching ``momentum`` to 0 is not enough (``num_batches_tracked`` still counts, ``momentum=None``
averages wrongly, custom norms are missed), so here every buffer of every module that runs is copied before its
forward and put back, in place, afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

_Held = dict[nn.Module, list[tuple[str, Tensor, Tensor]]]  # name, the buffer itself, its value before the pass


@contextmanager
def held_statistics(module: nn.Module | None = None) -> Iterator[None]:
    """Restore, on exit, the buffers of all modules that are in training mode, bit for bit and in place.

    Args:
        module: the model whose buffers to hold. ``None`` holds the buffers of whatever modules are called inside the
            ``with`` block, and of all parts of a compiled module that is. Modules called from within a compiled
            *function* are not noticed, so name the model here. The block must contain the backward pass too, as the
            buffers are put back in place.
    """
    held: _Held = {}
    if module is None:
        handle = register_module_forward_pre_hook(lambda called, _inputs: _hold(held, called))
        release = handle.remove
    else:
        for part in module.modules():
            _hold(held, part)
        release = _nothing
    try:
        yield
    finally:
        release()
        _restore(held)


def _hold(held: _Held, called: nn.Module) -> None:
    # no function of its own in the block: one that calls itself would keep all of this for the garbage collector
    if "_orig_mod" in called._modules:  # made by torch.compile, whose code does not announce the calls inside
        for part in called._modules["_orig_mod"].modules():  # type: ignore[union-attr]
            _hold(held, part)
    elif called.training and called not in held:
        held[called] = [(name, b, b.detach().clone()) for name, b in called._buffers.items() if b is not None]


def _nothing() -> None:
    """Nothing was registered, so there is nothing to remove."""


@torch._disable_dynamo
@torch.no_grad()
def _restore(held: _Held) -> None:
    for module, buffers in held.items():
        for name, buffer, copy in buffers:
            module._buffers[name] = buffer.copy_(copy)
