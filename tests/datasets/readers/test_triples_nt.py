from __future__ import annotations

from pathlib import Path

import pytest

from gsam.datasets import DatasetError
from gsam.datasets.readers.triples_nt import read_statements


def write(tmp_path: Path, content: str) -> Path:
    (tmp_path / "g.nt").write_bytes(content.encode())
    return tmp_path / "g.nt"


def test_all_that_the_standard_has(tmp_path: Path) -> None:
    r"""IRIs, blank nodes, comments, no blanks at all, and escapes; literals are passed over."""
    content = r"""# a comment
<http://x/dog> <http://x/is_a> <http://x/animal> .

_:b0 <http://x/p> _:b.1_é . # another
<http://x/a><http://x/p><http://x/b>.
	<http://x/caf\u00E9> <http://x/p> <http://x/\U0001F415> .
<http://x/dog> <http://x/name> "Rex \"the\" dog\n <http://x/no> ." .
<http://x/dog> <http://x/name> "chien"@fr-BE .
_:b0 <http://x/age> "3"^^<http://www.w3.org/2001/XMLSchema#integer> .
"""
    found = read_statements(write(tmp_path, content))
    assert [tuple(found.fields[i : i + 3]) for i in range(0, len(found.fields), 3)] == [
        ("http://x/dog", "http://x/is_a", "http://x/animal"),
        ("_:b0", "http://x/p", "_:b.1_é"),
        ("http://x/a", "http://x/p", "http://x/b"),
        ("http://x/café", "http://x/p", "http://x/🐕"),
    ]
    assert found.lines.tolist() == [2, 4, 5, 6]
    where = tmp_path / "g.nt"
    assert found.notes == (
        f"{where}: 1 blank line skipped",
        f"{where}: 3 statements about literals skipped (lines 7, 8, 9)",
    )


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("<a> <p> <b>", "the full stop at the end is missing"),
        ("a p b .", "'a p b .'"),
        ("<a> <p> .", ""),
        ("<a> _:p <b> .", ""),
        ('"a" <p> <b> .', ""),
        ("<a> <p> <b> <g> .", ""),
        ("<a b> <p> <b> .", ""),
        ("<> <p> <b> .", ""),
        ('<a> <p> "open .', ""),
        ("<a>\t<p>\t<b>\t. more", ""),
        (r"<a> <p> <\u12> .", ""),
    ],
)
def test_what_is_no_statement_is_named(line: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"g\.nt, line 3: not a statement of N-Triples.*{hint}"):
        read_statements(write(tmp_path, f"# heading\n<a> <p> <b> .\n{line}\n"))


def test_long_broken_lines_are_refused_quickly(tmp_path: Path) -> None:
    """No pattern may take more than linear time: these would, if two parts of it could match the same text."""
    for line in ("_:" + "a." * 5_000, '<a> <p> "' + "x" * 5_000, "<" + "a" * 5_000):
        with pytest.raises(DatasetError, match="line 1"):
            read_statements(write(tmp_path, line))
