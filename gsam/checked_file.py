"""A state in a file that says itself whether it is whole.

It is what ``torch.save`` writes, followed by the SHA-256 of it; ``torch.load`` reads it as well.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from gsam.files import OutputError

_MARK = b"gsam-sha256:"
_TRAILER = len(_MARK) + 64
_BLOCK = 1 << 20

State = dict[str, Any]


class CheckpointError(OutputError):
    """A checkpoint that cannot be written, is damaged, or is of another training."""


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> bytes:
        return self._hash.hexdigest().encode()


def write_checked(file: BinaryIO, state: State) -> None:
    """Write a state and, after it, its checksum."""
    hashing = _Hashing(file)
    torch.save(_plain(state), hashing)  # type: ignore[arg-type]
    file.write(_MARK + hashing.digest)


def _plain(content: Any) -> Any:
    """The content with plain tensors, as the safe unpickler knows no points of manifolds."""
    if isinstance(content, Tensor):
        return content.detach().as_subclass(Tensor)
    if isinstance(content, Mapping):
        return {key: _plain(value) for key, value in content.items()}
    return [_plain(value) for value in content] if isinstance(content, (list, tuple)) else content


def read_checked(path: Path) -> State:
    """Read a state that :func:`write_checked` wrote, to the CPU, by the unpickler that runs no code.

    Raises:
        CheckpointError: it is not what was written.
    """
    try:
        with path.open("rb") as file:
            whole = _is_whole(file)
        found = torch.load(path, map_location="cpu", weights_only=True) if whole else None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"expected a checkpoint in {path}, found {first_line(error)}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"expected a whole checkpoint in {path}, found a damaged one (its checksum is wrong)")
    return found


def _is_whole(file: BinaryIO) -> bool:
    left = os.fstat(file.fileno()).st_size - _TRAILER
    found = hashlib.sha256()
    while left > 0:
        block = file.read(min(left, _BLOCK))
        found.update(block)
        left -= len(block)
    return file.read() == _MARK + found.hexdigest().encode()


def first_line(error: BaseException) -> str:
    """What a message says in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
