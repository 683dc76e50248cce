"""Look-up of data sets by name, with help for a misspelt one. Opens no file and imports nothing heavy."""

from __future__ import annotations

import difflib

from gsam.datasets.catalogue import CATALOGUE
from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo

OWN_DATA = (
    "a .npz or .pt file or a folder with features.npy, edge_index.npy and labels.npy (graph with labelled nodes), "
    "or a .tsv, .csv or .nt file or a folder with train.txt, valid.txt and test.txt (knowledge graph)"
)


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
    if not known(name):
        raise DatasetError(_unknown(name))
    return CATALOGUE[_key(name)]


def known(name: str) -> bool:
    """Return whether the catalogue has a data set of that name."""
    return _key(name) in CATALOGUE


def _key(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(_key(name), CATALOGUE, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return (
        f"unknown data set {name!r}{hint} Known names: {', '.join(CATALOGUE)}. Your own data: the path of {OWN_DATA}."
    )
