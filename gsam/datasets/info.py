"""What is known about a data set before any of its files is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of nodes N, directed edges E after loading, features F and classes C."""

    nodes: int
    edges: int
    features: int
    classes: int


@dataclass(frozen=True)
class Source:
    """Where a family of data sets comes from.

    Attributes:
        licence: Terms, as far as the publisher states them.
        citation: The paper to cite.
        reader: Module of :mod:`gsam.datasets.readers` that parses the raw files.
        pyg_class: Class of ``torch_geometric.datasets`` that knows the download addresses; empty for bundled sets.
    """

    licence: str
    citation: str
    reader: str
    pyg_class: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """One entry of the catalogue.

    Attributes:
        name: Name for :func:`gsam.datasets.load`.
        title: One line on what nodes, edges and classes are.
        task: What the set is mostly used for: ``"few-shot"`` or ``"nodes"`` (ordinary node classification).
        sizes: N, E, F and C.
        source: Licence, citation, reader and download class.
        folder: Where the raw files lie inside the data folder, with ``/``.
        files: Names of the raw files.
        pyg_name: The ``name`` argument of the download class, empty if it takes none.
    """

    name: str
    title: str
    task: str
    sizes: Sizes
    source: Source
    folder: str
    files: tuple[str, ...]
    pyg_name: str = ""

    @property
    def bundled(self) -> bool:
        """Whether the files come with the package."""
        return not self.source.pyg_class
