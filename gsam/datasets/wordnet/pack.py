"""Packed arrays: ``.npz`` bytes that depend on the arrays only, a hash that does not even depend on zlib, and files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsam.datasets.errors import DatasetError

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


def narrow(values: Any, dtype: Any) -> NDArray[Any]:
    """Store whole numbers in a small type, or fail: nothing wraps around silently.

    Raises:
        OverflowError: A value does not fit.
    """
    wide = np.asarray(values, dtype=np.int64)
    if wide.size and (wide.min() < 0 or wide.max() > np.iinfo(dtype).max):
        raise OverflowError(f"values {wide.min()} to {wide.max()} do not fit {np.dtype(dtype)}")
    return wide.astype(dtype)


def free_targets(out: Path, file: str, *, force: bool) -> tuple[Path, Path]:
    """Return where to write a packed set and its manifest.

    Raises:
        DatasetError: A file is there already and ``force`` is off.
    """
    targets = out / file, out / "MANIFEST.json"
    if not force and (there := [str(path) for path in targets if path.exists()]):
        raise DatasetError(f"{there[0]} exists already; use --force to overwrite it, or another --out folder")
    return targets


def write_set(targets: tuple[Path, Path], packed: bytes, manifest: Mapping[str, Any]) -> None:
    """Write a packed set and its manifest, each at once; their folder is created if missing."""
    content = packed, (json.dumps(manifest, indent=2) + "\n").encode()
    for path, written in zip(targets, content, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        partial.write_bytes(written)
        os.replace(partial, path)


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
