"""Folders with ``train.txt``, ``valid.txt`` and ``test.txt``, as most benchmark graphs are published."""

from __future__ import annotations

from pathlib import Path

from gsam.datasets.errors import DatasetError
from gsam.datasets.given_triples import graph_of
from gsam.datasets.info import DatasetInfo
from gsam.datasets.knowledge_graph import SPLITS, KnowledgeGraph
from gsam.datasets.readers.triples_text import names_of_files, read_tabs
from gsam.datasets.triples import number_splits

FILES = tuple(f"{split}.txt" for split in SPLITS)


def read(folder: Path, entry: DatasetInfo) -> KnowledgeGraph:
    """Read a named set for :func:`gsam.datasets.load`; see :func:`read_folder`."""
    return read_folder(folder, name=entry.name)


def read_folder(path: str | Path, *, name: str | None = None) -> KnowledgeGraph:
    """Read a folder of three UTF-8 files, a line of each being ``head TAB relation TAB tail``.

    Entities and relations are numbered in the order of first appearance: training, validation, test; row by row; head
    before tail. Blanks around a field are dropped. Blank lines, and a triple that stands in one file again, are dropped
    and noted; triples that stand in two files and entities that training has not seen are kept and noted.

    Args:
        path: The folder, or the one that holds it as ``raw``.
        name: Name of the graph; default that of the folder.

    Raises:
        DatasetError: A missing file, text that is not UTF-8, a line with another number of columns or an empty field,
            no training triple, or a relation of ``valid.txt`` or ``test.txt`` that ``train.txt`` lacks; with file and
            line.
    """
    given = Path(path)
    folder = _folder_with_files(given)
    parts = {split: read_tabs(folder / file) for split, file in zip(SPLITS, FILES, strict=True)}
    return graph_of(number_splits(parts), name or given.resolve().name)


def _folder_with_files(folder: Path) -> Path:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with {names_of_files(FILES)}")
    found = next((place for place in (folder, folder / "raw") if (place / FILES[0]).is_file()), folder)
    missing = [file for file in FILES if not (found / file).is_file()]
    if missing:
        raise DatasetError(
            f"{found}: {names_of_files(missing)} missing; a knowledge graph is a folder with {names_of_files(FILES)}, "
            "one triple a line: head, relation and tail separated by tabs"
        )
    return found
