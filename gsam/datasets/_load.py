"""``load``: one door for named data sets and the user's own files."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, cast, overload

from gsam.datasets.class_splits import published_splits
from gsam.datasets.errors import DatasetError
from gsam.datasets.fetch import fetch
from gsam.datasets.locations import locate
from gsam.datasets.registry import OWN_DATA, info, known
from gsam.datasets.set_names import KnowledgeGraphName, NodeSetName

if TYPE_CHECKING:
    from gsam.datasets.knowledge_graph import KnowledgeGraph
    from gsam.datasets.node_dataset import NodeDataset

_NODE_READERS = {".npz": "user_npz", ".pt": "user_pt"}
_FEATURES = "features.npy"  # in a folder: a graph with labelled nodes
_TRIPLE_FILES = (".tsv", ".csv", ".nt")


@overload
def load(name_or_path: NodeSetName) -> NodeDataset: ...
@overload
def load(name_or_path: KnowledgeGraphName) -> KnowledgeGraph: ...
@overload
def load(name_or_path: str | Path) -> NodeDataset | KnowledgeGraph: ...
def load(name_or_path: str | Path) -> NodeDataset | KnowledgeGraph:
    """Load a data set by name, or from the user's own file or folder.

    By name: the bundled set, else raw files under ``$GSAM_DATA`` or the cache folder, else a download. Values equal
    those of PyTorch Geometric's class, where it has one (undirected edges, binary bag of words where it has them so),
    but features stay sparse and nothing is written beside the raw files. The class splits of the literature are
    attached (:func:`gsam.datasets.published_splits`).

    By path, graphs with labelled nodes: a ``.npz`` in the gnn-benchmark layout or a ``.pt`` with a PyG ``Data``
    (see :func:`gsam.datasets.readers.user_npz.read_npz` and :func:`gsam.datasets.readers.user_pt.read_pt`). Feature
    values, edge directions and self-loops are kept as they are in the file: an undirected graph lists both directions.

    A folder with ``features.npy``, ``edge_index.npy`` and ``labels.npy`` is such a graph, too, whose features stay in
    their file (:func:`gsam.datasets.readers.user_folder.read_nodes`): for graphs that are large.

    By path, knowledge graphs: a folder with ``train.txt``, ``valid.txt`` and ``test.txt``
    (:func:`gsam.datasets.readers.triples_folder.read_folder`), or a ``.tsv``, ``.csv`` or ``.nt`` to be split
    (:func:`gsam.datasets.readers.triples_file.read_file`).

    A text that is the name of a known set means that set, even if a folder has the same name: write ``./wordnet``, or
    give a ``Path``. :func:`load_nodes` and :func:`load_knowledge_graph` refuse the other kind.

    Args:
        name_or_path: A name from :func:`gsam.datasets.list_datasets`, or a path.

    Raises:
        DatasetError: Unknown name, file missing and no network, broken file, or values out of range.

    Example:
        >>> from gsam.datasets import load
        >>> load("wordnet").num_classes
        41
    """
    if isinstance(name_or_path, str) and known(name_or_path):
        return _load_named(name_or_path)
    path = Path(name_or_path)
    if _is_triples(path):
        return _load_triples(path)
    if _is_nodes_folder(path):
        return _read_nodes("user_folder", path)
    if path.suffix.lower() in _NODE_READERS:
        return _load_nodes_file(path)
    if path.is_file():
        raise DatasetError(f"{path}: expected {OWN_DATA}")
    if isinstance(name_or_path, Path):
        raise DatasetError(f"{path}: no such file or folder")
    return _load_named(name_or_path)


def load_nodes(name_or_path: str | Path) -> NodeDataset:
    """Load a graph with labelled nodes, as :func:`load` does.

    Raises:
        DatasetError: The name or path is that of a knowledge graph, or as for :func:`load`.
    """
    if _is_knowledge_graph(name_or_path):
        raise DatasetError(
            f"expected a graph with labelled nodes, found knowledge graph {str(name_or_path)!r}: "
            "`gsam kg` trains on it, or choose a set whose task is few-shot or nodes (`gsam datasets list`)"
        )
    return cast("NodeDataset", load(name_or_path))


def load_knowledge_graph(name_or_path: str | Path) -> KnowledgeGraph:
    """Load a knowledge graph, as :func:`load` does.

    Raises:
        DatasetError: The name or path is that of a graph with labelled nodes, or as for :func:`load`.
    """
    loaded = None if _is_node_set(name_or_path) else load(name_or_path)
    if loaded is None:
        raise DatasetError(
            f"expected a knowledge graph, found node data set {str(name_or_path)!r}: "
            "`gsam fewshot` and `gsam nodes` train on it, or choose a set whose task is kg (`gsam datasets list`)"
        )
    return cast("KnowledgeGraph", loaded)


def _is_knowledge_graph(name_or_path: str | Path) -> bool:
    if isinstance(name_or_path, str) and known(name_or_path):
        return info(name_or_path).is_knowledge_graph
    return _is_triples(Path(name_or_path))


def _is_node_set(name_or_path: str | Path) -> bool:
    if isinstance(name_or_path, str) and known(name_or_path):
        return not info(name_or_path).is_knowledge_graph
    path = Path(name_or_path)
    return _is_nodes_folder(path) or (not path.is_dir() and path.suffix.lower() in _NODE_READERS)


def _is_nodes_folder(path: Path) -> bool:
    return (path / _FEATURES).is_file()


def _is_triples(path: Path) -> bool:
    folder = path.is_dir() and not _is_nodes_folder(path)
    return folder or (not path.is_dir() and path.suffix.lower() in _TRIPLE_FILES)


def _load_triples(path: Path) -> KnowledgeGraph:
    from gsam.datasets.knowledge_graph import KnowledgeGraph

    return KnowledgeGraph.from_folder(path) if path.is_dir() else KnowledgeGraph.from_file(path)


def _load_nodes_file(path: Path) -> NodeDataset:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    return _read_nodes(_NODE_READERS[path.suffix.lower()], path)


def _read_nodes(reader: str, path: Path) -> NodeDataset:
    module = importlib.import_module(f"gsam.datasets.readers.{reader}")
    return cast("NodeDataset", module.read(path)).validate()


def _load_named(name: str) -> NodeDataset | KnowledgeGraph:
    entry = info(name)
    folder = locate(entry) or fetch(entry.name)
    read = importlib.import_module(f"gsam.datasets.readers.{entry.source.reader}").read
    if entry.is_knowledge_graph:
        return cast("KnowledgeGraph", read(folder, entry))
    return _with_splits(cast("NodeDataset", read(folder, entry))).validate()


def _with_splits(data: NodeDataset) -> NodeDataset:
    """Add the class splits of the literature; a split that came with the files stays as it is."""
    published = published_splits(data.name, num_classes=data.num_classes)
    splits = {name: split.parts for name, split in published.items()} | dict(data.class_splits)
    return dataclasses.replace(data, class_splits=splits)
