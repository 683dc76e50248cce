"""What is known about a data set before any of its files is opened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetInfo:
    """One entry of the catalogue.

    Attributes:
        name: Name for :func:`gsam.datasets.load`.
        title: One line on what nodes, edges and classes are.
        task: What the set is mostly used for: ``"few-shot"`` or ``"nodes"`` (ordinary node classification).
        num_nodes: N.
        num_edges: E, directed edges after loading (an undirected edge counts twice).
        num_features: F.
        num_classes: C.
        licence: Terms, as far as the publisher states them.
        citation: The paper to cite.
        folder: Where the raw files lie inside the data folder, with ``/``.
        files: Names of the raw files.
        reader: Module of :mod:`gsam.datasets.readers` that parses them.
        pyg_class: Class of ``torch_geometric.datasets`` that knows the download addresses; empty for bundled sets.
        pyg_name: The ``name`` argument of that class, empty if it takes none.
    """

    name: str
    title: str
    task: str
    num_nodes: int
    num_edges: int
    num_features: int
    num_classes: int
    licence: str
    citation: str
    folder: str
    files: tuple[str, ...]
    reader: str
    pyg_class: str = ""
    pyg_name: str = ""

    @property
    def bundled(self) -> bool:
        """Whether the files come with the package."""
        return not self.pyg_class
