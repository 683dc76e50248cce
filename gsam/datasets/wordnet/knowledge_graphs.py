"""The bundled knowledge graphs: what WordNet says about mammals, and about all nouns. Same sources, same arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gsam.datasets.triple_split import split_rows
from gsam.datasets.triples import Integers
from gsam.datasets.wordnet.build import SenseNumbers
from gsam.datasets.wordnet.pack import Arrays, content_hash, free_targets, narrow, pack, text_array, write_set
from gsam.datasets.wordnet.source import NOUN_FILES, Synset, check_sources, read_senses, read_synsets, source_hashes

SPLIT_SEED = 0
ROOT = "mammal"  # its first sense
MAMMAL_FRACTION, NOUN_FRACTION = 0.1, 0.05  # of what may be held out, for validation and again for test

# One direction of each pair of inverses, as in WN18RR: the other one would give test triples away.
RELATIONS = {
    "@": "hypernym",
    "@i": "instance_hypernym",
    "%m": "has_member",
    "%p": "has_part",
    "%s": "has_substance",
    ";c": "topic_domain",
    ";r": "region_domain",
    ";u": "usage_domain",
    "!": "antonym",
    "+": "derivationally_related_form",
}
SYMMETRIC = ("!", "+")


def build_knowledge_graph(name: str, dictionary: Path, out: Path, *, force: bool = False) -> dict[str, Any]:
    """Write ``NAME.npz`` and ``MANIFEST.json``.

    Args:
        name: ``"wordnet-mammals"`` or ``"wordnet-nouns"``.
        dictionary: Folder with ``data.noun`` and ``index.noun``.
        out: Folder to write to; created if missing.
        force: Overwrite what is there.

    Returns:
        The manifest.

    Raises:
        DatasetError: Sources missing or broken, or a file is there already and ``force`` is off.
    """
    check_sources(dictionary, NOUN_FILES)
    targets = free_targets(out, f"{name}.npz", force=force)
    arrays = BUILDERS[name](read_synsets(dictionary, "n"), read_senses(dictionary, "n"))
    packed = pack(arrays)
    manifest = describe(name, arrays, packed) | {"source": source_hashes(dictionary, NOUN_FILES)}
    write_set(targets, packed, manifest)
    return manifest


def build_mammals(synsets: Sequence[Synset], senses: SenseNumbers) -> Arrays:
    """Return the transitive closure of the hypernyms below ``mammal.n.01``.

    Entities are the synsets below it and itself, in the order of the file; triples are (u, hypernym, v) for every
    ancestor v of u among them (Nickel and Kiela, Poincaré Embeddings, NeurIPS 2017). The direct hypernyms stay in
    training; of the other triples, 10 % each are held out.
    """
    parents = _parents(synsets)
    root = next(i for i, s in enumerate(synsets) if s.lemmas[0] == ROOT and senses["n", ROOT, s.offset] == 1)
    members = _below(root, parents)
    number = {synset: entity for entity, synset in enumerate(members)}
    tree = [[number[parent] for parent in parents[synset] if parent in number] for synset in members]
    closure = [(u, 0, v) for u in range(len(tree)) for v in sorted(_ancestors(u, tree))]
    triples = np.array(closure, dtype=np.int64)
    direct = np.array([v in tree[u] for u, _, v in closure])
    size = round(MAMMAL_FRACTION * int((~direct).sum()))
    return {
        **_names([synsets[i] for i in members], senses, ["hypernym"]),
        **_columns(triples, split_rows(triples, size, seed=SPLIT_SEED, keep=direct)),
        "depth": narrow(_depths(number[root], tree), np.uint8),
    }


def build_nouns(synsets: Sequence[Synset], senses: SenseNumbers) -> Arrays:
    """Return the pointers among all noun synsets, one direction of each pair of inverse relations.

    Entities are the synsets in the order of the file. Symmetric relations are listed in both directions. All triples
    between the same two synsets are in the same split, so that no triple that is held out has its mirror image, or
    another relation of its pair, in training. Of the pairs, 5 % each are held out; every entity keeps one in training.
    """
    triples = _pointers(synsets)
    ends = np.sort(triples[:, [0, 2]], axis=1)
    _, first, pair = np.unique(ends[:, 0] * len(synsets) + ends[:, 1], return_index=True, return_inverse=True)
    rows = split_rows(triples[first], round(NOUN_FRACTION * len(first)), seed=SPLIT_SEED)
    whole = {split: np.flatnonzero(np.isin(pair.reshape(-1), chosen)) for split, chosen in rows.items()}
    return {**_names(synsets, senses, list(RELATIONS.values())), **_columns(triples, whole)}


def describe(name: str, arrays: Arrays, packed: bytes) -> dict[str, Any]:
    """Return the manifest of a built set: hashes, sizes and settings."""
    fractions = {"wordnet-mammals": MAMMAL_FRACTION, "wordnet-nouns": NOUN_FRACTION}
    return {
        "file": f"{name}.npz",
        "sha256": hashlib.sha256(packed).hexdigest(),
        "content_sha256": content_hash(arrays),
        "bytes": len(packed),
        "entities": len(arrays["sense"]),
        "relations": arrays["relation"].tobytes().decode().split("\n"),
        "triples": {split: arrays[split].shape[1] for split in ("train", "valid", "test")},
        "settings": {"split_seed": SPLIT_SEED, "held_out_fraction": fractions[name]},
    }


def _pointers(synsets: Sequence[Synset]) -> Integers:
    """Return the triples of the relations above, sorted, each once, no loops, symmetric ones both ways."""
    number = {synset.offset: i for i, synset in enumerate(synsets)}
    code = {symbol: i for i, symbol in enumerate(RELATIONS)}
    rows = [
        (head, code[symbol], number[offset])
        for head, synset in enumerate(synsets)
        for symbol, (pos, offset) in zip(synset.symbols, synset.pointers, strict=True)
        if pos == "n" and symbol in code
    ]
    triples = np.array(rows, dtype=np.int64).reshape(-1, 3)
    mirrored = triples[np.isin(triples[:, 1], [code[symbol] for symbol in SYMMETRIC])][:, ::-1]
    both = np.unique(np.concatenate([triples, mirrored]), axis=0)
    return both[both[:, 0] != both[:, 2]]


def _parents(synsets: Sequence[Synset]) -> list[list[int]]:
    """Return the direct hypernyms of each synset."""
    number = {synset.offset: i for i, synset in enumerate(synsets)}
    return [
        [number[offset] for symbol, (_, offset) in zip(s.symbols, s.pointers, strict=True) if symbol == "@"]
        for s in synsets
    ]


def _below(root: int, parents: Sequence[Sequence[int]]) -> list[int]:
    """Return the root and all that is below it, sorted."""
    children: dict[int, list[int]] = {}
    for child, above in enumerate(parents):
        for parent in above:
            children.setdefault(parent, []).append(child)
    found, waiting = {root}, [root]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return sorted(found)


def _ancestors(node: int, parents: Sequence[Sequence[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(parents[node])
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += parents[parent]
    return found


def _depths(root: int, parents: Sequence[Sequence[int]]) -> list[int]:
    """Return the length of the shortest way up to the root, for each node."""
    depth = {root: 0}
    while len(depth) < len(parents):
        above = {node: [depth[p] for p in parents[node] if p in depth] for node in range(len(parents))}
        depth |= {node: 1 + min(found) for node, found in above.items() if found and node not in depth}
    return [depth[node] for node in range(len(parents))]


def _names(synsets: Sequence[Synset], senses: SenseNumbers, relations: list[str]) -> dict[str, Any]:
    lemmas = [synset.lemmas[0].lower() for synset in synsets]
    numbers = [senses["n", lemma, synset.offset] for lemma, synset in zip(lemmas, synsets, strict=True)]
    return {
        "lemma": text_array(lemmas),
        "sense": narrow(numbers, np.uint8),
        "relation": text_array(relations),
    }


def _columns(triples: Integers, rows: Mapping[str, Integers]) -> dict[str, Any]:
    """Return int32 [3, T] heads, relations and tails of each split, sorted: columns compress well."""
    return {split: np.ascontiguousarray(triples[chosen].T.astype(np.int32)) for split, chosen in rows.items()}


BUILDERS: Mapping[str, Callable[[Sequence[Synset], SenseNumbers], Arrays]] = {
    "wordnet-mammals": build_mammals,
    "wordnet-nouns": build_nouns,
}
