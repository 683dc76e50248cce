"""The record beside a bundled set: its hashes, sizes and settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo
from gsam.datasets.locations import BUNDLED


def read_manifest(entry: DatasetInfo) -> dict[str, Any]:
    """Return the manifest of a bundled set.

    Raises:
        DatasetError: The set is not bundled, or its manifest is missing.
    """
    path = BUNDLED / entry.folder / "MANIFEST.json"
    if not entry.bundled or not path.is_file():
        raise DatasetError(f"{entry.name}: no manifest at {path}: only bundled sets have one")
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def intact(entry: DatasetInfo) -> bool:
    """Return whether the bundled file has the sha256 that its manifest records."""
    path = BUNDLED / entry.folder / entry.files[0]
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == read_manifest(entry)["sha256"]
