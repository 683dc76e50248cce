"""Text with one triple a line: decoding, line numbers, and the tab-separated form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gsam.datasets.errors import DatasetError
from gsam.datasets.triples import Integers, TripleText, counted

COLUMNS = ("head", "relation", "tail")


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file with line feeds as line ends, without a byte-order mark.

    Raises:
        DatasetError: It cannot be read, or is not UTF-8: with line, offset and value of the first wrong byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: not UTF-8: byte 0x{content[error.start]:02X} at offset {error.start} of the file "
            f"({error.reason}); save it as UTF-8"
        ) from error
    return text.replace("\r\n", "\n")


def numbered_lines(text: str) -> tuple[list[str], Integers, int]:
    """Return the lines that are not blank, their numbers from 1, and how many blank ones there are.

    The end of the last line counts as no line.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    blank = [number for number, line in enumerate(lines) if not line or line.isspace()]
    numbers = np.delete(np.arange(1, len(lines) + 1), blank)
    return ([lines[number - 1] for number in numbers] if blank else lines), numbers, len(blank)


def read_tabs(path: Path) -> TripleText:
    """Read lines of head, relation and tail with tabs between. Blanks around a field are dropped.

    Raises:
        DatasetError: Not UTF-8, another number of columns, or an empty field, with the line.
    """
    rows, lines, blank = numbered_lines(read_text(path))
    wrong = next((at for at, row in enumerate(rows) if row.count("\t") != 2), None)
    if wrong is not None:
        raise columns_error(path, int(lines[wrong]), rows[wrong].count("\t") + 1, rows[wrong], separator="tab")
    fields = [field.strip() for field in "\t".join(rows).split("\t")] if rows else []
    return TripleText(str(path), checked(fields, lines, path), lines, blank_note(path, blank))


def checked(fields: list[str], lines: Integers, path: Path) -> list[str]:
    """Return the fields if none is empty.

    Args:
        fields: 3T fields.
        lines: [T] their lines.
        path: What to name in the message.

    Raises:
        DatasetError: The line and column of the first empty field.
    """
    if "" in fields:
        row, column = divmod(fields.index(""), 3)
        raise DatasetError(f"{path}, line {lines[row]}: the {COLUMNS[column]} is empty; fill it in or remove the line")
    return fields


def columns_error(path: Path, line: int, found: int, row: str, *, separator: str) -> DatasetError:
    """Return the error for a line with another number of columns than three."""
    others = {"tab": "\t", "comma": ",", "semicolon": ";", "blank": None}
    likely = [name for name, mark in others.items() if name != separator and len(row.split(mark)) == 3]
    hint = f"; is it separated by {likely[0]}s?" if found == 1 and likely else ""
    return DatasetError(
        f"{path}, line {line}: expected 3 columns (head, relation, tail) separated by {separator}s, "
        f"found {found}: {_shortened(row)!r}{hint}"
    )


def blank_note(path: Path, blank: int) -> tuple[str, ...]:
    """Return the note on blank lines, if there are any."""
    return (f"{path}: {counted(blank, 'blank line')} skipped",) if blank else ()


def names_of_files(names: Sequence[str]) -> str:
    """Return file names as a list in a sentence."""
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def _shortened(row: str) -> str:
    return row if len(row) <= 60 else row[:57] + "..."
