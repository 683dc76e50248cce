"""Functions run by several processes at once, as ``torchrun`` would start them."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gsam.distributed import join, leave

SIZE = 2
Work = Callable[..., Any]


def in_processes(work: Work, folder: Path, *arguments: Any, ascent: str = "global") -> list[Any]:
    """What ``work(ranks, *arguments)`` returns in each of two processes; it is a function of a module."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(_member, (port, str(folder), work, arguments, ascent), nprocs=SIZE)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(SIZE)]


def _member(rank: int, port: int, folder: str, work: Work, arguments: tuple[Any, ...], ascent: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error", UserWarning)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(SIZE),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    ranks = join(ascent=ascent, timeout=120)  # one that waits for the other in vain must not hang the tests
    try:
        torch.save(work(ranks, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        leave()
