"""N-Triples (https://www.w3.org/TR/n-triples/): one statement of an RDF graph a line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from gsam.datasets.errors import DatasetError
from gsam.datasets.readers.triples_text import blank_note, numbered_lines, read_text
from gsam.datasets.triples import Integers, TripleText, counted, listed_lines

_ESCAPE = r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
_IRI = rf'<(?:[^\x00-\x20<>"{{}}|^`\\]|{_ESCAPE})+>'
_BLANK_NODE = r"_:[\w:](?:[\w:.·-]*[\w:·-])?"
_LITERAL = rf'"(?:[^"\\]|\\[tbnrf"\'\\]|{_ESCAPE})*"(?:\^\^{_IRI}|@[A-Za-z]+(?:-[A-Za-z0-9]+)*)?'
_STATEMENT = re.compile(
    rf"[ \t]*({_IRI}|{_BLANK_NODE})[ \t]*({_IRI})[ \t]*({_IRI}|{_BLANK_NODE}|{_LITERAL})[ \t]*\.[ \t]*(?:#.*)?"
)
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})")


def read_statements(path: Path) -> TripleText:
    r"""Read statements whose object is an IRI or a blank node.

    Statements about literals ("born in 1879") are skipped and noted: a literal is a value, no entity that others link
    to. An entity or relation is named by its full IRI without the angle brackets (``\u`` escapes resolved), a blank
    node by its label, ``_:b0``.

    Raises:
        DatasetError: Not UTF-8, or a line that is no statement, with the line.
    """
    rows, lines, blank = numbered_lines(read_text(path))
    found = [_STATEMENT.fullmatch(row) for row in rows]
    statements = [match.groups() for match in found if match]
    if len(statements) < len(rows):
        comments = _comments(rows, found, lines, path)
        lines = np.delete(lines, comments)
    literal = [at for at, (_, _, tail) in enumerate(statements) if tail[0] == '"']
    skipped = lines[literal]
    if literal:
        statements, lines = [row for row in statements if row[2][0] != '"'], np.delete(lines, literal)
    fields = [_name(term) for row in statements for term in row]
    return TripleText(str(path), fields, lines, blank_note(path, blank) + _literal_note(path, skipped))


def _comments(rows: list[str], found: list[re.Match[str] | None], lines: Integers, path: Path) -> list[int]:
    """Return the rows that are comments; what is no statement either is an error."""
    others = [at for at, match in enumerate(found) if not match]
    for at in others:
        if not rows[at].lstrip().startswith("#"):
            ending = "" if rows[at].rstrip().endswith(".") else "; the full stop at the end is missing"
            raise DatasetError(
                f"{path}, line {lines[at]}: not a statement of N-Triples, "
                f"`<head> <relation> <tail> .`: {rows[at].strip()[:60]!r}{ending}"
            )
    return others


def _name(term: str) -> str:
    """Return the name of an entity or relation."""
    if term[0] == "_":
        return term
    return _ESCAPED.sub(lambda code: chr(int(code[1] or code[2], 16)), term[1:-1]) if "\\" in term else term[1:-1]


def _literal_note(path: Path, lines: Integers) -> tuple[str, ...]:
    if not len(lines):
        return ()
    return (f"{path}: {counted(len(lines), 'statement')} about literals skipped ({listed_lines(lines)})",)
