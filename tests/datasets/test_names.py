from __future__ import annotations

import pytest

from gsam.datasets import DatasetError
from gsam.datasets.names import NumberedNames, numbers_of, unknown


def test_numbered_names_are_what_a_tuple_of_them_would_be() -> None:
    names, plain = NumberedNames(12), tuple(map(str, range(12)))
    assert tuple(names) == plain
    assert len(names) == 12
    assert names[11] == names[-1] == "11"
    assert names[2:5] == plain[2:5]
    assert names.index("7") == plain.index("7")
    assert "11" in names
    assert names == NumberedNames(12)
    assert hash(names) == hash(NumberedNames(12))
    assert names != NumberedNames(11)


@pytest.mark.parametrize("other", ["12", "-1", "07", "x", "", " 3", "٣", 3, None])
def test_what_is_no_number_of_the_range_is_no_name(other: object) -> None:
    names = NumberedNames(12)
    assert other not in names
    with pytest.raises(ValueError, match="none of the numbers 0 to 11"):
        names.index(other)


def test_index_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        NumberedNames(3)[3]


def test_numbers_of_names() -> None:
    assert numbers_of(("b", "a")) == {"b": 0, "a": 1}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Dog", "did you mean dog.n.01 or hot_dog.n.01?"),
        ("kat.n.01", "did you mean cat.n.01"),
        ("zzzzzz", "there are 4: cat.n.01, dog.n.01, hot_dog.n.01, ..."),
        ("", "there are 4: cat.n.01"),
    ],
)
def test_unknown_name_lists_close_ones(name: str, hint: str) -> None:
    error = unknown(name, ("cat.n.01", "dog.n.01", "hot_dog.n.01", "x"), "entity of g")
    assert isinstance(error, DatasetError)
    assert str(error).startswith(f"unknown entity of g {name!r}: {hint}")


def test_no_search_among_numbers() -> None:
    assert str(unknown("9", NumberedNames(3), "entity")) == "unknown entity '9': there are 3: 0, 1, 2"
