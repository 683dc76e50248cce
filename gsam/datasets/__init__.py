"""Graphs with labelled nodes and knowledge graphs: bundled, as published in raw files, or the user's own.

The catalogue and :func:`load` import neither torch nor PyTorch Geometric until a file is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gsam.datasets._load import load, load_knowledge_graph, load_nodes
from gsam.datasets.class_splits import PublishedSplit, published_splits
from gsam.datasets.errors import DatasetError
from gsam.datasets.fetch import fetch
from gsam.datasets.info import Archive, DatasetInfo, Sizes, Source, TripleSizes
from gsam.datasets.registry import info, list_datasets

if TYPE_CHECKING:
    from gsam.datasets.knowledge_graph import KnowledgeGraph, OfficialNegatives
    from gsam.datasets.node_dataset import NodeDataset
    from gsam.datasets.readers.user_folder import save_folder
    from gsam.datasets.readers.user_npz import save_npz

__all__ = [
    "Archive",
    "DatasetError",
    "DatasetInfo",
    "KnowledgeGraph",
    "NodeDataset",
    "OfficialNegatives",
    "PublishedSplit",
    "Sizes",
    "Source",
    "TripleSizes",
    "fetch",
    "info",
    "list_datasets",
    "load",
    "load_knowledge_graph",
    "load_nodes",
    "published_splits",
    "save_folder",
    "save_npz",
]

_LAZY = {
    "KnowledgeGraph": "gsam.datasets.knowledge_graph",
    "NodeDataset": "gsam.datasets.node_dataset",
    "OfficialNegatives": "gsam.datasets.knowledge_graph",
    "save_folder": "gsam.datasets.readers.user_folder",
    "save_npz": "gsam.datasets.readers.user_npz",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gsam.datasets' has no attribute {name!r}")
