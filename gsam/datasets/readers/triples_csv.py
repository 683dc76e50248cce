"""Triples separated by commas, with quotes where a field has commas or line ends of its own."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from gsam.datasets.errors import DatasetError
from gsam.datasets.readers.triples_text import blank_note, checked, columns_error, read_text
from gsam.datasets.triples import TripleText


def read_commas(path: Path) -> TripleText:
    """Read rows of head, relation and tail with commas between. Blanks around a field are dropped.

    A field may stand in double quotes, and a double quote inside it is doubled (RFC 4180).

    Raises:
        DatasetError: Not UTF-8, quotes that do not match, another number of columns, or an empty field, with the line
            in which the row begins.
    """
    rows, starts, blank = _rows(path, read_text(path))
    wrong = next((at for at, row in enumerate(rows) if len(row) != 3), None)
    if wrong is not None:
        row = rows[wrong]
        raise columns_error(path, starts[wrong], len(row), ",".join(row), separator="comma")
    lines = np.array(starts, dtype=np.int64)
    fields = [field.strip() for row in rows for field in row]
    return TripleText(str(path), checked(fields, lines, path), lines, blank_note(path, blank))


def _rows(path: Path, text: str) -> tuple[list[list[str]], list[int], int]:
    """Return the rows that are not blank, the lines in which they begin, and the number of blank ones."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, starts, end, blank = [], [], 0, 0
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                rows.append(row)
                starts.append(end + 1)
            else:
                blank += 1
            end = reader.line_num
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {end + 1}: not a row of comma-separated values ({error}); is a double quote missing?"
        ) from error
    return rows, starts, blank
