"""The builders of the bundled sets, from the data files of Princeton WordNet 3.0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gsam.datasets.wordnet.build import build_arrays, build_wordnet
from gsam.datasets.wordnet.knowledge_graphs import build_knowledge_graph, build_mammals, build_nouns
from gsam.datasets.wordnet.source import DEFAULT_DICT, Synset, parse_synset, read_synsets

BUILDERS: dict[str, Callable[..., dict[str, Any]]] = {
    "wordnet": build_wordnet,
    **{name: partial(build_knowledge_graph, name) for name in ("wordnet-mammals", "wordnet-nouns")},
}

__all__ = [
    "BUILDERS",
    "DEFAULT_DICT",
    "Synset",
    "build_arrays",
    "build_knowledge_graph",
    "build_mammals",
    "build_nouns",
    "build_wordnet",
    "parse_synset",
    "read_synsets",
]
