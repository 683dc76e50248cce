"""Random splits of one list of triples, such that training sees every relation and, where possible, every entity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsam.datasets.triples import Integers

Mask = NDArray[np.bool_]
Words = NDArray[np.uint64]


def split_rows(triples: Integers, size: int, *, seed: int, keep: Mask | None = None) -> dict[str, Integers]:
    """Draw validation and test rows at random; the rest is for training.

    A row is held out only if training keeps another one of its relation. Rows whose head and tail training also keeps
    are taken first; the others, whose entities training then has not seen, only if there are too few of those. The draw
    depends on nothing but the triples and the seed, whatever the version of numpy.

    Args:
        triples: int64 [T, 3], each once.
        size: Number of rows for validation, and again for test.
        seed: Which draw.
        keep: bool [T], rows that must stay in training, or None.

    Returns:
        Rows of ``"train"``, ``"valid"`` and ``"test"``, each in the order of the file. Validation and test are smaller
        than asked for, down to empty, where relations or ``keep`` leave too little.
    """
    kept = np.zeros(len(triples), dtype=bool) if keep is None else keep
    for_entities, for_relations, order = _needed(triples, kept, seed)
    free = ~(kept | for_relations)
    choice = np.concatenate([order[(free & ~for_entities)[order]], order[(free & for_entities)[order]]])
    size = min(size, len(choice) // 2)
    valid, test = choice[:size], choice[size : 2 * size]
    held = np.zeros(len(triples), dtype=bool)
    held[choice[: 2 * size]] = True
    return {"train": np.flatnonzero(~held), "valid": np.sort(valid), "test": np.sort(test)}


def shuffled(count: int, seed: int) -> Integers:
    """Return 0..count-1 in a random order that is the same on every machine and for every version of numpy."""
    start = int(splitmix64(seed, 1)[0])  # streams of near seeds would overlap otherwise
    return np.argsort(splitmix64(start, count), kind="stable")


def splitmix64(state: int, count: int) -> Words:
    """Return the first numbers of the generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    Args:
        state: Where it starts, taken modulo 2^64.
        count: How many numbers.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64)
    z = steps * np.uint64(0x9E3779B97F4A7C15) + np.uint64(state % 2**64)  # arrays wrap around, as they should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _needed(triples: Integers, kept: Mask, seed: int) -> tuple[Mask, Mask, Integers]:
    """Return the rows that training needs to see every entity, and every relation, and all rows in random order.

    Each entity and relation needs the first of its rows. Rows that are kept anyway, or the only ones of an entity, come
    first, so that they serve the other entities as well and few rows are needed.
    """
    order = shuffled(len(triples), seed)
    count = np.bincount(triples[:, [0, 2]].ravel())
    ahead = kept | (count[triples[:, 0]] == 1) | (count[triples[:, 2]] == 1)
    order = order[np.argsort(~ahead[order], kind="stable")]
    in_order = triples[order]
    for_entities, for_relations = np.zeros(len(triples), dtype=bool), np.zeros(len(triples), dtype=bool)
    for_entities[order[np.unique(in_order[:, [0, 2]], return_index=True)[1] // 2]] = True
    for_relations[order[np.unique(in_order[:, 1], return_index=True)[1]]] = True
    return for_entities, for_relations, order
