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

    @property
    def text(self) -> str:
        """The sizes in words."""
        return (
            f"{self.nodes:,} nodes, {self.edges:,} directed edges, {self.features:,} features, {self.classes} classes"
        )


class TripleSizes(NamedTuple):
    """Numbers of entities N, relations R, and triples of the three splits of a knowledge graph."""

    entities: int
    relations: int
    train: int
    valid: int
    test: int

    @property
    def text(self) -> str:
        """The sizes in words."""
        return (
            f"{self.entities:,} entities, {self.relations:,} relation{'s' * (self.relations != 1)}, "
            f"{self.train:,} training, {self.valid:,} validation and {self.test:,} test triples"
        )


class Archive(NamedTuple):
    """A zip archive with the raw files of one data set.

    Attributes:
        url: Its address.
        folder: The folder inside it that holds the files.
        sha256: Its hash in hexadecimal, empty if none is known.
    """

    url: str
    folder: str
    sha256: str = ""


@dataclass(frozen=True)
class Source:
    """Where a family of data sets comes from.

    Attributes:
        licence: Terms, as far as the publisher states them.
        citation: The paper to cite.
        reader: Module of :mod:`gsam.datasets.readers` that parses the raw files.
        pyg_class: Class of ``torch_geometric.datasets`` that knows the download addresses, if there is one.
        bundled: Whether the files come with the package.
        home: Where to get the files by hand, if they cannot be downloaded.
    """

    licence: str
    citation: str
    reader: str
    pyg_class: str = ""
    bundled: bool = False
    home: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """One entry of the catalogue.

    Attributes:
        name: Name for :func:`gsam.datasets.load`.
        title: One line on what nodes, edges and classes, or entities and relations are.
        task: What the set is mostly used for: ``"few-shot"``, ``"nodes"`` (ordinary node classification) or ``"kg"``
            (knowledge-graph completion).
        sizes: N, E, F and C, or those of a knowledge graph.
        source: Licence, citation, reader and download class.
        folder: Where the raw files lie inside the data folder, with ``/``.
        files: Names of the raw files.
        pyg_name: The ``name`` argument of the download class, empty if it takes none.
        archive: The archive that a download unpacks, if it is not a class of PyG that downloads.
        optional_files: Raw files that are read where they are present.
        other_files: Other names under which the same files circulate, each as long as ``files``.
        note: What to know about ``sizes``, where they are not those of the files loaded here.
    """

    name: str
    title: str
    task: str
    sizes: Sizes | TripleSizes
    source: Source
    folder: str
    files: tuple[str, ...]
    pyg_name: str = ""
    archive: Archive | None = None
    optional_files: tuple[str, ...] = ()
    other_files: tuple[tuple[str, ...], ...] = ()
    note: str = ""

    @property
    def is_knowledge_graph(self) -> bool:
        """Whether :func:`gsam.datasets.load` gives a ``KnowledgeGraph`` and no ``NodeDataset``."""
        return self.task == "kg"

    @property
    def bundled(self) -> bool:
        """Whether the files come with the package."""
        return self.source.bundled

    @property
    def downloadable(self) -> bool:
        """Whether an address is known from which :func:`gsam.datasets.fetch` can download the files."""
        return bool(self.source.pyg_class or self.archive)
