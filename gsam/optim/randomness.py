"""Give several passes of one step the same random numbers, hence the same dropout masks and the same sampled batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_CPU = torch.device("cpu")


class RandomState:
    """A snapshot of torch's generators: the CPU's and those of the CUDA devices in use.

    Args:
        tensors: their devices decide which CUDA generators are saved.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._start = _read({_CPU, *(t.device for t in tensors if t.device.type == "cuda")})

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Run the block from the snapshot, and go on afterwards from where the generators were before the block.

        Otherwise a block that draws less than the pass it follows would hand numbers that were used already to the
        next step, in the extreme the same dropout masks for ever. A generator that was not used before the block
        goes on from the end of the block instead.
        """
        reached = _read(self._start)
        _write(self._start)
        try:
            yield
        finally:
            _write({device: state for device, state in reached.items() if not state.equal(self._start[device])})


def _read(devices: Iterable[torch.device]) -> dict[torch.device, Tensor]:
    return {d: torch.get_rng_state() if d == _CPU else torch.cuda.get_rng_state(d) for d in devices}


def _write(states: dict[torch.device, Tensor]) -> None:
    for device, state in states.items():
        if device == _CPU:
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
