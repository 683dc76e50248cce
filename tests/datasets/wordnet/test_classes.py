from __future__ import annotations

import pytest

from gsam.datasets.wordnet.classes import CLASS_NAMES, FIRST_LEXFILE, NUM_NOUN_CLASSES, SPLIT_SIZES, class_split


@pytest.mark.parametrize(
    ("lexfile", "name"),
    [
        (3, "noun.Tops"),
        (5, "noun.animal"),
        (20, "noun.plant"),
        (28, "noun.time"),
        (29, "verb.body"),
        (43, "verb.weather"),
    ],
)
def test_numbers_of_lexnames(lexfile: int, name: str) -> None:
    assert CLASS_NAMES[lexfile - FIRST_LEXFILE] == name


def test_26_noun_and_15_verb_classes() -> None:
    assert len(set(CLASS_NAMES)) == 41
    assert all(name.startswith("noun.") == (i < NUM_NOUN_CLASSES) for i, name in enumerate(CLASS_NAMES))


@pytest.mark.parametrize("seed", range(5))
def test_split_is_a_partition(seed: int) -> None:
    split = class_split(seed)
    assert {part: len(classes) for part, classes in split.items()} == SPLIT_SIZES
    assert sorted(sum(split.values(), ())) == list(range(41))
    assert all(list(classes) == sorted(classes) for classes in split.values())


def test_the_published_split_never_changes() -> None:
    assert class_split()["valid"] == (3, 8, 9, 17, 23, 33, 34, 35, 39, 40)
