from __future__ import annotations

import random

import numpy as np
import pytest

from gsam.datasets import DatasetError
from gsam.datasets.triples import TripleText, encode, first_occurrences, listed_lines, number_splits
from tests.datasets.naive_triples import Triple, naive_numbers

Rows = list[Triple]


def text(name: str, rows: Rows, first_line: int = 1) -> TripleText:
    lines = np.arange(first_line, first_line + len(rows))
    return TripleText(name, [field for row in rows for field in row], lines)


def random_rows(count: int, seed: int, entities: int = 9) -> Rows:
    rng = random.Random(seed)
    return [
        (f"e{rng.randrange(entities)}", f"r{rng.randrange(3)}", f"e{rng.randrange(entities)}") for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_naive_second_implementation(seed: int) -> None:
    rows = {"train": random_rows(60, seed), "valid": random_rows(20, seed + 10, 12), "test": random_rows(20, seed + 20)}
    found = number_splits({name: text(name, part) for name, part in rows.items()})
    splits, entities, relations = naive_numbers(rows)
    assert {name: triples.tolist() for name, triples in found.splits.items()} == splits
    assert list(found.entities) == entities
    assert list(found.relations) == relations
    assert all(triples.dtype == np.int64 for triples in found.splits.values())


def test_notes_say_what_and_where() -> None:
    train = [("a", "r", "b"), ("b", "r", "c"), ("a", "r", "b"), *[("b", "r", "c")] * 7]
    valid = [("a", "r", "b"), ("a", "r", "x"), ("x", "r", "x")]
    test = [("b", "r", "y"), ("a", "r", "x"), ("b", "r", "y")]
    parts = {"train": text("T", train), "valid": text("V", valid, 5), "test": text("E", test)}
    parts["train"] = parts["train"]._replace(notes=("T: 1 blank line skipped",))
    assert number_splits(parts).notes == (
        "T: 1 blank line skipped",
        "T: 8 duplicates dropped (lines 3, 4, 5, 6, 7 and 3 more)",
        "V: 1 entity unseen in training, in 2 triples (kept)",
        "E: 1 duplicate dropped (line 3)",
        "E: 2 entities unseen in training, in 2 triples (kept)",
        "V: 1 triple also in T (line 5)",
        "E: 1 triple also in V (line 2)",
    )


def test_relation_unseen_in_training_is_an_error_with_its_line() -> None:
    parts = {"train": text("T", [("a", "r", "b")]), "valid": text("V", [("a", "r", "b"), ("a", "new", "b")], 7)}
    with pytest.raises(DatasetError, match=r"^V, line 8: relation 'new' does not occur in T: .*\(1 such line in all\)"):
        number_splits(parts)


def test_empty_training_set() -> None:
    with pytest.raises(DatasetError, match=r"^T: expected at least one triple to train on, found none$"):
        number_splits({"train": text("T", []), "test": text("E", [("a", "r", "b")])})


def test_empty_other_splits_are_fine() -> None:
    found = number_splits({"train": text("T", [("a", "r", "b")]), "valid": text("V", []), "test": text("E", [])})
    assert [len(triples) for triples in found.splits.values()] == [1, 0, 0]
    assert found.notes == ()


def test_encode_keeps_duplicates() -> None:
    (triples,), entities, relations = encode([text("T", [("b", "s", "a"), ("b", "s", "a")])])
    assert triples.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert (entities, relations) == (("b", "a"), ("s",))


@pytest.mark.parametrize("scale", [(1, 1, 1), (2**31, 2**20, 2**31), (2**50, 1, 2**50)])
def test_first_occurrences_whatever_the_size_of_the_numbers(scale: tuple[int, int, int]) -> None:
    """Products of large numbers would overflow 64 bits and could make different triples look the same."""
    rng = np.random.default_rng(0)
    triples = rng.integers(0, 5, (200, 3)) * np.array(scale)
    seen: set[tuple[int, ...]] = set()
    expected = []
    for row in map(tuple, triples.tolist()):
        expected.append(row not in seen)
        seen.add(row)
    assert first_occurrences(triples).tolist() == expected
    assert first_occurrences(triples[:0]).tolist() == []


def test_listed_lines() -> None:
    assert listed_lines(np.array([4])) == "line 4"
    assert listed_lines(np.arange(1, 6)) == "lines 1, 2, 3, 4, 5"
    assert listed_lines(np.arange(1, 2008)) == "lines 1, 2, 3, 4, 5 and 2,002 more"
