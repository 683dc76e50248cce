"""The builder of the bundled ``wordnet`` set, from the data files of Princeton WordNet 3.0."""

from __future__ import annotations

from gsam.datasets.wordnet.build import build_arrays, build_wordnet
from gsam.datasets.wordnet.source import DEFAULT_DICT, Synset, parse_synset, read_synsets

__all__ = ["DEFAULT_DICT", "Synset", "build_arrays", "build_wordnet", "parse_synset", "read_synsets"]
