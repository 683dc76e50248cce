"""Packed arrays: ``.npz`` bytes that depend on the arrays only, and a hash that does not even depend on zlib."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def pack(arrays: Arrays) -> bytes:
    """Return the bytes of a compressed ``.npz`` with fixed dates and attributes, readable by ``numpy.load``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # the same on every platform
            archive.writestr(member, _npy(array), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def content_hash(arrays: Arrays) -> str:
    """Return the sha256 over names, types, shapes and values, whatever the compression."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + b"\0" + _npy(arrays[name]))
    return digest.hexdigest()


def text_array(names: Sequence[str]) -> NDArray[np.uint8]:
    """Store text as bytes, one name a line: smaller and faster than numpy's fixed-width text."""
    return np.frombuffer("\n".join(names).encode(), dtype=np.uint8)


def text_lines(array: NDArray[np.uint8]) -> list[str]:
    """Undo :func:`text_array`."""
    return array.tobytes().decode().split("\n")


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
