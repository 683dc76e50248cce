"""From WordNet's files to the packed arrays of the bundled set. Same sources, same arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsam.datasets.wordnet.classes import CLASS_NAMES, FIRST_LEXFILE, SPLIT_SEED, class_split
from gsam.datasets.wordnet.pack import Arrays, content_hash, free_targets, narrow, pack, text_array, write_set
from gsam.datasets.wordnet.source import Synset, SynsetKey, check_sources, read_senses, read_synsets, source_hashes
from gsam.datasets.wordnet.words import MIN_SYNSETS, STOP_WORDS, vocabulary, words_of

SenseNumbers = Mapping[tuple[str, str, str], int]


def build_wordnet(dictionary: Path, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write ``wordnet.npz`` and ``MANIFEST.json``.

    Args:
        dictionary: Folder with ``data.noun data.verb index.noun index.verb``.
        out: Folder to write to; created if missing.
        force: Overwrite what is there.

    Returns:
        The manifest.

    Raises:
        DatasetError: Sources missing or broken, or a file is there already and ``force`` is off.
    """
    check_sources(dictionary)
    targets = free_targets(out, "wordnet.npz", force=force)
    arrays = build_arrays(read_synsets(dictionary), read_senses(dictionary))
    packed = pack(arrays)
    manifest = describe(arrays, packed) | {"source": source_hashes(dictionary)}
    write_set(targets, packed, manifest)
    return manifest


def build_arrays(synsets: list[Synset], senses: SenseNumbers, *, min_synsets: int = MIN_SYNSETS) -> Arrays:
    """Return the arrays of the set; node i is synset i.

    ``label`` [N] class; ``edge_count`` [N] and ``edge_target``: the neighbours of node i with a greater number;
    ``word_count`` [N] and ``word``: the vocabulary numbers of its words; ``vocabulary``, ``lemma`` and ``class_name``:
    text, one name a line; ``sense`` [N] sense number of the first lemma; ``split_*``: classes of the published split.
    """
    edges = _undirected_edges(synsets)
    words, word_counts, names = _bags(synsets, min_synsets)
    split = class_split()
    return {
        "label": narrow([synset.lexfile - FIRST_LEXFILE for synset in synsets], np.uint8),
        "edge_count": narrow(np.bincount(edges[:, 0], minlength=len(synsets)), np.uint16),
        "edge_target": narrow(edges[:, 1], np.uint32),
        "word_count": narrow(word_counts, np.uint8),
        "word": narrow(words, np.uint16),
        "vocabulary": text_array(names),
        "lemma": text_array([synset.lemmas[0].lower() for synset in synsets]),
        "sense": narrow([senses[s.pos, s.lemmas[0].lower(), s.offset] for s in synsets], np.uint8),
        "class_name": text_array(CLASS_NAMES),
        **{f"split_{part}": narrow(classes, np.uint8) for part, classes in split.items()},
    }


def describe(arrays: Arrays, packed: bytes) -> dict[str, Any]:
    """Return the manifest of a built set: hashes, sizes, settings and the class split by name."""
    sizes = np.bincount(arrays["label"], minlength=len(CLASS_NAMES)).tolist()
    return {
        "file": "wordnet.npz",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "content_sha256": content_hash(arrays),
        "bytes": len(packed),
        "nodes": len(arrays["label"]),
        "undirected_edges": len(arrays["edge_target"]),
        "features": arrays["vocabulary"].tobytes().count(b"\n") + 1,
        "feature_entries": len(arrays["word"]),
        "settings": {"min_synsets": MIN_SYNSETS, "stop_words": len(STOP_WORDS), "split_seed": SPLIT_SEED},
        "class_sizes": dict(zip(CLASS_NAMES, sizes, strict=True)),
        "class_split": {part: [CLASS_NAMES[i] for i in classes] for part, classes in class_split().items()},
    }


def _undirected_edges(synsets: list[Synset]) -> NDArray[np.int64]:
    """Return the pointers among the synsets as int64 [E, 2], smaller number first, sorted, each once, no loops."""
    number: dict[SynsetKey, int] = {(synset.pos, synset.offset): i for i, synset in enumerate(synsets)}
    pairs = [(i, number[key]) for i, synset in enumerate(synsets) for key in synset.pointers if key in number]
    edges = np.sort(np.array(pairs, dtype=np.int64).reshape(-1, 2), axis=1)
    return np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)


def _bags(synsets: list[Synset], min_synsets: int) -> tuple[list[int], list[int], tuple[str, ...]]:
    """Return the word numbers of all synsets one after the other, how many each has, and the vocabulary."""
    bags = [words_of(synset) for synset in synsets]
    names = vocabulary(bags, min_synsets)
    number = {word: i for i, word in enumerate(names)}
    rows = [sorted(number[word] for word in bag if word in number) for bag in bags]
    return [word for row in rows for word in row], [len(row) for row in rows], names
