"""The features: which words of its lemmas and gloss a synset contains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gsam.datasets.wordnet.source import Synset

MIN_SYNSETS = 5  # a word of fewer synsets is dropped: it joins too few nodes to be worth its place
_WORD = re.compile(r"[a-z]{2,}")

# Function words: frequent in every class, so they blur the bag of words.
_FUNCTION_WORDS = (
    "about after all also although am an and any are as at be because been before being between both but by can could "
    "did do does doing done down during each either etc few for from had has have having he her him his how if in into "
    "is it its itself may me might more most much must my neither no nor not of off often on one or other others our "
    "out over own shall she should so some such than that the their them then there these they this those through to "
    "too under until up upon us used using usually very was we were what when where which while who whom whose why "
    "will with within without would you your"
)
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def words_of(synset: Synset) -> frozenset[str]:
    """Return the distinct words of a synset: runs of two or more letters, lower case, no stop words."""
    text = f"{synset.gloss} {' '.join(synset.lemmas)}".lower()
    return frozenset(_WORD.findall(text)) - STOP_WORDS


def vocabulary(bags: Sequence[frozenset[str]], min_synsets: int = MIN_SYNSETS) -> tuple[str, ...]:
    """Return the words of at least ``min_synsets`` bags, in alphabetical order."""
    counts: Counter[str] = Counter()
    for bag in bags:
        counts.update(bag)
    return tuple(sorted(word for word, count in counts.items() if count >= min_synsets))
