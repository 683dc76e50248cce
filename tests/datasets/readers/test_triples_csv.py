from __future__ import annotations

import csv
from pathlib import Path

import pytest

from gsam.datasets import DatasetError
from gsam.datasets.readers.triples_csv import read_commas


def write(tmp_path: Path, content: str) -> Path:
    (tmp_path / "g.csv").write_bytes(content.encode())
    return tmp_path / "g.csv"


def test_quotes_commas_and_line_ends_inside_fields(tmp_path: Path) -> None:
    content = 'a,r,"b, c"\r\n\r\n"two\nlines",r,"say ""hi"""\r\n x , r , y \n'
    found = read_commas(write(tmp_path, content))
    assert found.fields == ["a", "r", "b, c", "two\nlines", "r", 'say "hi"', "x", "r", "y"]
    assert found.lines.tolist() == [1, 3, 5], "a row begins where its first field does"
    assert found.notes == (f"{tmp_path / 'g.csv'}: 1 blank line skipped",)


def test_what_csv_writes_is_read(tmp_path: Path) -> None:
    rows = [[f'n{i},"', "r\n", f"é{i}"] for i in range(50)]
    with (tmp_path / "g.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert read_commas(tmp_path / "g.csv").fields == [field.strip() for row in rows for field in row]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,r,b\na,r\n", r"line 2: expected 3 columns \(head, relation, tail\) separated by commas, found 2: 'a,r'"),
        ('"x\ny",r,b\na,r,b,c\n', "line 3: expected 3 columns .* found 4"),
        ("a\tr\tb\n", r"line 1: .*found 1.*is it separated by tabs\?$"),
        ("a;r;b\n", r"line 1: .*is it separated by semicolons\?$"),
        ("a,r,b\na,,b\n", "line 2: the relation is empty"),
        ('a,r,b\na,r,"b\nc,r,d\n', r"line 2: not a row of comma-separated values .*a double quote missing\?$"),
    ],
)
def test_bad_rows_are_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"g\.csv, {message}"):
        read_commas(write(tmp_path, content))
