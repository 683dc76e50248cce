"""Give several passes of one step the same random numbers, hence the same dropout masks and the same sampled batch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class RandomState:
    """A snapshot of torch's generators: the CPU's and those of the CUDA devices in use.

    Args:
        tensors: their devices decide which CUDA generators are saved.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._cuda = {t.device: torch.cuda.get_rng_state(t.device) for t in tensors if t.device.type == "cuda"}
        self._cpu = torch.get_rng_state()

    def replay(self) -> None:
        """Set the generators back to the snapshot."""
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)
