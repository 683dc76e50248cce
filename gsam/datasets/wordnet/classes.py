"""The classes: lexicographer files of nouns and verbs (numbers and names: the manual page ``lexnames(5WN)``)."""

from __future__ import annotations

import random

FIRST_LEXFILE = 3  # files 0 to 2 are adjectives and adverbs, 44 is adjectives
NUM_NOUN_CLASSES = 26

_NOUNS = (
    "Tops act animal artifact attribute body cognition communication event feeling food group location motive object "
    "person phenomenon plant possession process quantity relation shape state substance time"
)
_VERBS = (
    "body change cognition communication competition consumption contact creation emotion motion perception "
    "possession social stative weather"
)
CLASS_NAMES = (*(f"noun.{name}" for name in _NOUNS.split()), *(f"verb.{name}" for name in _VERBS.split()))

SPLIT_SEED = 0
SPLIT_SIZES = {"train": 15, "valid": 10, "test": 16}


def class_split(seed: int = SPLIT_SEED) -> dict[str, tuple[int, ...]]:
    """Return a random 15 / 10 / 16 split of the 41 classes, each part sorted.

    Python's Mersenne Twister gives the same shuffle on every machine.
    """
    order = random.Random(seed).sample(range(len(CLASS_NAMES)), len(CLASS_NAMES))
    split, start = {}, 0
    for part, size in SPLIT_SIZES.items():
        split[part] = tuple(sorted(order[start : start + size]))
        start += size
    return split
