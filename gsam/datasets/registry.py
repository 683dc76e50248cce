"""Look-up of data sets by name, with help for a misspelt one. Opens no file and imports nothing heavy."""

from __future__ import annotations

import difflib

from gsam.datasets.catalogue import CATALOGUE
from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo


def list_datasets() -> tuple[DatasetInfo, ...]:
    """Return every known data set, in the order of the catalogue."""
    return tuple(CATALOGUE.values())


def info(name: str) -> DatasetInfo:
    """Return what is known about a data set without opening its files.

    Args:
        name: A name of the catalogue; case, ``_`` and spaces do not matter.

    Raises:
        DatasetError: The name is unknown; the message lists close matches and every name.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in CATALOGUE:
        raise DatasetError(_unknown(name, key))
    return CATALOGUE[key]


def _unknown(name: str, key: str) -> str:
    close = difflib.get_close_matches(key, CATALOGUE, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return (
        f"unknown data set {name!r}{hint} Known names: {', '.join(CATALOGUE)}. "
        "Your own data: the path of a .npz or .pt file."
    )
