from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from gsam.fewshot import ClassSplit, SplitError


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_random_by_seed(seed: int) -> None:
    first, again = ClassSplit.random(12, (4, 3, 2), seed), ClassSplit.random(12, (4, 3, 2), seed)
    assert first == again
    assert first != ClassSplit.random(12, (4, 3, 2), seed + 1)
    assert [len(part) for part in (first.train, first.valid, first.test)] == [4, 3, 2]
    classes = first.train + first.valid + first.test
    assert len(set(classes)) == 9
    assert set(classes) <= set(range(12))
    assert all(type(c) is int for c in classes)


def test_random_does_not_touch_the_global_generators() -> None:
    import random

    import numpy as np
    import torch

    states = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002
    ClassSplit.random(12, (4, 3, 2), 0)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_random_from_given_classes() -> None:
    split = ClassSplit.random([3, 5, 8, 9], (2, 1, 1), 0)
    assert sorted(split.train + split.valid + split.test) == [3, 5, 8, 9]


def test_random_favours_no_class() -> None:
    """Over 2000 seeds each of 6 classes is in the test part a third of the time, within 5 standard deviations."""
    counts = Counter(c for seed in range(2000) for c in ClassSplit.random(6, (2, 2, 2), seed).test)
    assert all(abs(counts[c] - 2000 / 3) < 5 * (2000 * 2 / 9) ** 0.5 for c in range(6))


@pytest.mark.parametrize("counts", [(5, 5, 5), (0, 2, 2), (3, -1, 2), (10, 1, 0)])
def test_counts_that_do_not_fit(counts: tuple[int, int, int]) -> None:
    with pytest.raises(SplitError, match=r"at most 10 classes, found .*; choose a smaller --split"):
        ClassSplit.random(10, counts, 0)


def test_all_classes_may_be_used() -> None:
    split = ClassSplit.random(10, (5, 3, 2), 0)
    assert sorted(split.train + split.valid + split.test) == list(range(10))


def test_parts_are_checked() -> None:
    with pytest.raises(SplitError, match=r"found \[1, 2\] more than once"):
        ClassSplit((0, 1), (1, 2), (2, 3))
    with pytest.raises(SplitError, match=r"found \[0\] more than once"):
        ClassSplit((0, 0), (1,), (2,))
    with pytest.raises(SplitError, match="at least one class in 'valid', found none"):
        ClassSplit((0,), (), (2,))


def test_named() -> None:
    splits = {"a": {"train": (0,), "valid": (1,), "test": (2,)}, "b": {"train": (3,), "valid": (1,), "test": (2,)}}
    assert ClassSplit.named(splits, "b") == ClassSplit((3,), (1,), (2,))
    with pytest.raises(SplitError, match=r"three counts such as 5,5,5, a \.json file, or .* \(a, b\), found 'c'"):
        ClassSplit.named(splits, "c")
    with pytest.raises(SplitError, match=r"published split \(none\), found '5,5'"):
        ClassSplit.named({}, "5,5")


def test_file_round_trip(tmp_path: Path) -> None:
    split = ClassSplit.random(12, (4, 3, 2), 0)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(split.to_dict()))
    assert ClassSplit.from_file(path) == split
    assert json.loads(path.read_text()) == {
        "train": list(split.train),
        "valid": list(split.valid),
        "test": list(split.test),
    }


BAD = {
    "not json": "train: 1",
    "empty": "",
    "a list": "[0, 1, 2]",
    "missing part": '{"train": [0], "test": [2]}',
    "empty part": '{"train": [0], "valid": [], "test": [2]}',
    "overlap": '{"train": [0, 1], "valid": [1], "test": [2]}',
    "fractions": '{"train": [0.7], "valid": [1], "test": [2]}',
    "text": '{"train": "01", "valid": [3], "test": [2]}',
    "words": '{"train": ["cat"], "valid": [3], "test": [2]}',
    "booleans": '{"train": [true], "valid": [3], "test": [2]}',
    "no list": '{"train": 4, "valid": [3], "test": [2]}',
    "not a number": '{"train": [NaN], "valid": [3], "test": [2]}',
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_bad_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(SplitError, match="expected"):
        ClassSplit.from_file(path)


def test_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(SplitError, match=r"split\.json, found UnicodeDecodeError"):
        ClassSplit.from_file(path)
    with pytest.raises(SplitError, match=r"absent\.json, found FileNotFoundError"):
        ClassSplit.from_file(tmp_path / "absent.json")
    with pytest.raises(SplitError, match=r"IsADirectoryError|PermissionError"):
        ClassSplit.from_file(tmp_path)


def test_classes_the_data_do_not_have() -> None:
    split = ClassSplit((0, 5), (1,), (9,))
    split.check_classes(10)
    with pytest.raises(SplitError, match=r"classes 0 to 4, found \[5, 9\]; this split is for other data"):
        split.check_classes(5)
    with pytest.raises(SplitError, match=r"found \[-1\]"):
        ClassSplit((0, -1), (1,), (2,)).check_classes(5)
