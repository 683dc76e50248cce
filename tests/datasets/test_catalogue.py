from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gsam.datasets import DatasetInfo, list_datasets
from gsam.datasets.fetch import pyg_downloader

ENTRIES = list_datasets()
OF_PYG = [entry for entry in ENTRIES if not entry.bundled and not entry.name.endswith("-filtered")]


def test_names() -> None:
    named = "wordnet coauthor-cs coauthor-physics amazon-computers amazon-photo cora citeseer pubmed corafull actor "
    named += "texas wisconsin cornell minesweeper tolokers chameleon-filtered squirrel-filtered"
    assert {entry.name for entry in ENTRIES} == set(named.split())


@pytest.mark.parametrize("entry", OF_PYG, ids=lambda entry: entry.name)
def test_folder_and_files_are_those_of_pyg(entry: DatasetInfo, tmp_path: Path) -> None:
    downloader = pyg_downloader(entry, tmp_path / entry.source.pyg_class)
    names = downloader.raw_file_names
    assert Path(downloader.raw_dir) == tmp_path / entry.folder
    assert list(entry.files) == ([names] if isinstance(names, str) else names)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_reader_exists(entry: DatasetInfo) -> None:
    assert callable(importlib.import_module(f"gsam.datasets.readers.{entry.source.reader}").read)
