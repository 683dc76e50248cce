from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gsam.datasets import DatasetInfo, info, list_datasets
from gsam.datasets.fetch import pyg_downloader

ENTRIES = list_datasets()
FOLDERS = {"wn18rr": "WN18RR", "fb15k-237": "FB15k-237"}  # usual names; the classes take any root
OF_PYG = [entry for entry in ENTRIES if entry.source.pyg_class and not entry.name.endswith("-filtered")]


def test_names() -> None:
    named = "wordnet coauthor-cs coauthor-physics amazon-computers amazon-photo cora citeseer pubmed corafull actor "
    named += "texas wisconsin cornell minesweeper tolokers chameleon-filtered squirrel-filtered "
    named += "ogbn-arxiv ogbn-products amazon-clothing amazon-electronics dblp "
    named += "wordnet-mammals wordnet-nouns wn18rr fb15k-237 umls kinship nations ogbl-biokg ogbl-wikikg2"
    assert {entry.name for entry in ENTRIES} == set(named.split())


@pytest.mark.parametrize("entry", OF_PYG, ids=lambda entry: entry.name)
def test_folder_and_files_are_those_of_pyg(entry: DatasetInfo, tmp_path: Path) -> None:
    root = FOLDERS.get(entry.name, entry.source.pyg_class)
    downloader = pyg_downloader(entry, tmp_path / root)
    names = downloader.raw_file_names
    assert Path(downloader.raw_dir) == tmp_path / entry.folder
    assert list(entry.files) == ([names] if isinstance(names, str) else names)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_reader_exists(entry: DatasetInfo) -> None:
    assert callable(importlib.import_module(f"gsam.datasets.readers.{entry.source.reader}").read)


def test_ogb_sets_have_the_layout_of_their_archive() -> None:
    arxiv, products = info("ogbn-arxiv"), info("ogbn-products")
    assert arxiv.archive is not None
    assert products.archive is not None
    assert (arxiv.archive.folder, products.archive.folder) == ("arxiv", "products")
    assert set(arxiv.files) - set(products.files) == {
        f"split/time/{part}.csv.gz" for part in ("train", "valid", "test")
    }
    assert products.files[-3:] == tuple(f"split/sales_ranking/{part}.csv.gz" for part in ("train", "valid", "test"))


def test_other_names_stand_for_the_same_files() -> None:
    electronics = info("amazon-electronics")
    assert electronics.files == tuple(f"Amazon_eletronics_{part}" for part in ("network", "train.mat", "test.mat"))
    for entry in ENTRIES:
        assert all(len(names) == len(entry.files) for names in entry.other_files)
        assert not any(set(names) & set(entry.files) for names in entry.other_files)


def test_sizes_that_were_not_measured_say_so() -> None:
    assert {entry.name for entry in ENTRIES if entry.note} == {
        *("ogbn-arxiv", "ogbn-products", "amazon-clothing", "amazon-electronics", "dblp"),
        *("ogbl-biokg", "ogbl-wikikg2"),
    }
