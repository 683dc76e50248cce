"""Parser of WordNet database files (formats: the manual page ``wndb(5WN)``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gsam.datasets.array_file import parsing
from gsam.datasets.errors import DatasetError

DEFAULT_DICT = Path("/usr/share/wordnet")
PARTS_OF_SPEECH = {"n": "noun", "v": "verb"}
SOURCE_FILES = tuple(f"{kind}.{name}" for kind in ("data", "index") for name in PARTS_OF_SPEECH.values())
NOUN_FILES = ("data.noun", "index.noun")

SynsetKey = tuple[str, str]  # part of speech and byte offset


class Synset(NamedTuple):
    """One line of a data file.

    Attributes:
        pos: Part of speech, ``"n"`` or ``"v"``.
        offset: Byte offset as written, eight digits; the number of the synset within its part of speech.
        lexfile: Number of the lexicographer file, 3 to 43 for nouns and verbs.
        lemmas: The words of the synset as written, ``_`` for a space.
        pointers: Part of speech and offset of every synset it points to, in order, repeats included.
        gloss: Definition and examples.
        symbols: What kind of pointer each of ``pointers`` is, for example ``"@"`` for a hypernym.
    """

    pos: str
    offset: str
    lexfile: int
    lemmas: tuple[str, ...]
    pointers: tuple[SynsetKey, ...]
    gloss: str
    symbols: tuple[str, ...] = ()


def parse_synset(line: str) -> Synset:
    """Parse ``offset lexfile pos n_words (word lex_id)* n_pointers (symbol offset pos source/target)* ... | gloss``.

    ``n_words`` is hexadecimal, ``n_pointers`` decimal; the sentence frames of verbs after the pointers are skipped.

    Raises:
        ValueError: The line does not have this form.
    """
    fields_part, bar, gloss = line.partition("|")
    fields = fields_part.split()
    if not bar or len(fields) < 6:
        raise ValueError(f"not a synset line: {line[:60]!r}")
    first_pointer = 4 + 2 * int(fields[3], 16)
    end = first_pointer + 1 + 4 * int(fields[first_pointer])
    if len(fields) < end:
        raise ValueError(f"a synset line ends inside its pointers: {line[:60]!r}")
    offsets, parts = fields[first_pointer + 2 : end : 4], fields[first_pointer + 3 : end : 4]
    return Synset(
        pos=fields[2],
        offset=fields[0],
        lexfile=int(fields[1]),
        lemmas=tuple(fields[4:first_pointer:2]),
        pointers=tuple(zip(parts, offsets, strict=True)),
        gloss=gloss.strip(),
        symbols=tuple(fields[first_pointer + 1 : end : 4]),
    )


def parse_senses(line: str) -> tuple[str, tuple[str, ...]]:
    """Parse a line of an index file: the lemma and the offsets of its synsets, first sense first.

    Form: ``lemma pos n_synsets n_symbols symbol* n_senses n_tagged offset*``.
    """
    fields = line.split()
    return fields[0], tuple(fields[6 + int(fields[3]) :])


def read_synsets(folder: Path, parts: Iterable[str] = tuple(PARTS_OF_SPEECH)) -> list[Synset]:
    """Return the synsets of the given parts of speech one after the other, each in the order of its file.

    Raises:
        DatasetError: A missing or broken data file.
    """
    try:
        return [parse_synset(line) for pos in parts for line in _lines(folder, "data", pos)]
    except DatasetError:
        raise
    except (ValueError, IndexError) as error:
        raise DatasetError(f"{folder}: not the data files of WordNet 3.0 ({error})") from error


def read_senses(folder: Path, parts: Iterable[str] = tuple(PARTS_OF_SPEECH)) -> dict[tuple[str, str, str], int]:
    """Return the sense number, from 1, of each (part of speech, lower-case lemma, offset)."""
    return {
        (pos, lemma, offset): sense
        for pos in parts
        for lemma, offsets in map(parse_senses, _lines(folder, "index", pos))
        for sense, offset in enumerate(offsets, start=1)
    }


def source_hashes(folder: Path, files: Iterable[str] = SOURCE_FILES) -> dict[str, str]:
    """Return the sha256 of each source file."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


def check_sources(folder: Path, files: Iterable[str] = SOURCE_FILES) -> None:
    """Check that the database files are there.

    Raises:
        DatasetError: The missing ones and where to get them.
    """
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{folder}: missing {', '.join(missing)} of WordNet 3.0; "
            "install the Debian package wordnet-base, or name the folder of the database files with --dict"
        )


def _lines(folder: Path, kind: str, pos: str) -> list[str]:
    """Return the lines of a database file; those that start with two blanks are the licence."""
    path = folder / f"{kind}.{PARTS_OF_SPEECH[pos]}"
    with parsing(path):
        lines = path.read_text(encoding="ascii").splitlines()
    return [line for line in lines if not line.startswith("  ")]
