"""The user's own knowledge graph in one file, split here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gsam.datasets.errors import DatasetError
from gsam.datasets.given_triples import graph_of
from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.datasets.readers.triples_csv import read_commas
from gsam.datasets.readers.triples_nt import read_statements
from gsam.datasets.readers.triples_text import COLUMNS, read_tabs
from gsam.datasets.triple_split import split_rows
from gsam.datasets.triples import Integers, NumberedTriples, TripleText, duplicates_note, encode, first_occurrences

_READERS = {".tsv": read_tabs, ".csv": read_commas, ".nt": read_statements}
_HEADINGS = (COLUMNS, ("subject", "predicate", "object"))
_FRACTION = 0.1


def read_file(path: str | Path, *, seed: int = 0, name: str | None = None) -> KnowledgeGraph:
    """Read a ``.tsv``, ``.csv`` or ``.nt`` file in UTF-8 and split it into 80, 10 and 10 percent at random.

    ``.tsv``: head, relation and tail separated by tabs; ``.csv``: by commas, with double quotes where needed. A first
    line ``head relation tail`` or ``subject predicate object`` is a heading. ``.nt``: N-Triples; statements about
    literals are skipped (:func:`gsam.datasets.readers.triples_nt.read_statements`).

    Training keeps every relation and, where possible, every entity (:func:`gsam.datasets.triple_split.split_rows`).
    Entities and relations are numbered in the order in which the file first names them, whatever the seed. Duplicates
    and blank lines are dropped and noted.

    Args:
        path: The file.
        seed: Which split.
        name: Name of the graph; default that of the file.

    Raises:
        DatasetError: Another suffix, no such file, text that is not UTF-8, a line with another number of columns or an
            empty field, or too few triples to split; with file and line.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise DatasetError(f"{path}: expected a file that ends in {', '.join(_READERS)}, or a folder")
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    text = _READERS[path.suffix.lower()](path)
    if path.suffix.lower() != ".nt":
        text = _without_heading(text)
    return graph_of(_split(text, seed), name or path.stem)


def _without_heading(text: TripleText) -> TripleText:
    if tuple(field.lower() for field in text.fields[:3]) not in _HEADINGS:
        return text
    note = f"{text.where}: line {text.lines[0]} taken as heading"
    return TripleText(text.where, text.fields[3:], text.lines[1:], (*text.notes, note))


def _split(text: TripleText, seed: int) -> NumberedTriples:
    (triples,), entities, relations = encode([text])
    first = first_occurrences(triples)
    triples = triples[first]
    rows = split_rows(triples, max(1, round(_FRACTION * len(triples))), seed=seed)
    if not all(map(len, rows.values())):
        found = "".join(f"; {note}" for note in text.notes)
        raise DatasetError(
            f"{text.where}: {len(triples)} different triples and {len(relations)} relations are too few to split: "
            f"training must keep every relation; give a folder with train.txt, valid.txt and test.txt{found}"
        )
    splits = {name: triples[chosen] for name, chosen in rows.items()}
    notes = (*text.notes, *duplicates_note(text, first), *_unseen_note(text.where, splits["train"], len(entities)))
    return NumberedTriples(splits, entities, relations, notes)


def _unseen_note(where: str, train: Integers, num_entities: int) -> list[str]:
    count = num_entities - len(np.unique(train[:, [0, 2]]))
    return [f"{where}: split leaves {count:,} of {num_entities:,} entities unseen in training"] if count else []
