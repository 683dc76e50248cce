from __future__ import annotations

from pathlib import Path

import pytest

from gsam.datasets import DatasetError
from gsam.datasets.readers.triples_text import names_of_files, numbered_lines, read_tabs, read_text


def write(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "train.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_with_their_lines(tmp_path: Path) -> None:
    found = read_tabs(write(tmp_path, "a\tr\tb\n\n  \t \nc d\tr \t e\u00e9\u2028x\n"))
    assert found.fields == ["a", "r", "b", "c d", "r", "e\u00e9\u2028x"]
    assert found.lines.tolist() == [1, 4]
    assert found.where == str(tmp_path / "train.txt")
    assert found.notes == (f"{tmp_path / 'train.txt'}: 2 blank lines skipped",)


@pytest.mark.parametrize("content", ["a\tr\tb\nc\tr\td", "a\tr\tb\r\nc\tr\td\r\n", "\ufeffa\tr\tb\nc\tr\td\n"])
def test_line_ends_and_byte_order_mark_do_not_matter(content: str, tmp_path: Path) -> None:
    found = read_tabs(write(tmp_path, content))
    assert found.fields == ["a", "r", "b", "c", "r", "d"]
    assert found.notes == ()


@pytest.mark.parametrize("content", ["", "\n", "\n \n"])
def test_empty_files_have_no_rows(content: str, tmp_path: Path) -> None:
    found = read_tabs(write(tmp_path, content))
    assert (found.fields, found.lines.tolist()) == ([], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a\tr\tb\n\na\tr\n",
            r"line 3: expected 3 columns \(head, relation, tail\) separated by tabs, found 2: 'a\\tr'",
        ),
        ("a\tr\tb\tc\n", "line 1: expected 3 columns .* found 4"),
        ("a\tr\tb\nx y z\n", r"line 2: .* found 1: 'x y z'; is it separated by blanks\?$"),
        ("x,y,z\n", r"line 1: .* found 1: 'x,y,z'; is it separated by commas\?$"),
        ("x y\n", "line 1: .* found 1: 'x y'$"),
        ("a\tr\tb\na\t \tb\n", "line 2: the relation is empty"),
        ("\tr\tb\n", "line 1: the head is empty"),
        ("a\tr\tb\n\na\tr\t\n", "line 3: the tail is empty"),
        (b"a\tr\tb\nJos\xe9\tr\tb\n", r"line 2: not UTF-8: byte 0xE9 at offset 9 of the file \(invalid continuation"),
        ("a\tr\tb\n".encode("utf-16"), "line 1: not UTF-8: byte 0xFF at offset 0"),
    ],
)
def test_bad_lines_are_named(content: bytes | str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"train\.txt, {message}") as raised:
        read_tabs(write(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_long_lines_are_shortened_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        read_tabs(write(tmp_path, "x" * 100_000))
    assert len(str(raised.value)) < 300


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)


def test_numbered_lines() -> None:
    rows, lines, blank = numbered_lines("a\n\nb\n")
    assert (rows, lines.tolist(), blank) == (["a", "b"], [1, 3], 1)


def test_names_of_files() -> None:
    assert names_of_files(["a", "b", "c"]) == "a, b and c"
    assert names_of_files(["a"]) == "a"
