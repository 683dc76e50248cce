from __future__ import annotations

import os
from pathlib import Path

import pytest

from gsam.datasets import load_knowledge_graph
from gsam.datasets.catalogue_kg import KNOWLEDGE_GRAPHS
from gsam.datasets.info import DatasetInfo, TripleSizes


@pytest.mark.parametrize("entry", KNOWLEDGE_GRAPHS, ids=lambda entry: entry.name)
def test_every_set_says_where_it_is_from(entry: DatasetInfo) -> None:
    assert entry.task == "kg"
    assert isinstance(entry.sizes, TripleSizes)
    assert entry.source.licence
    assert entry.source.citation
    assert entry.source.bundled or entry.archive or entry.source.pyg_class or entry.source.home


@pytest.mark.parametrize("entry", KNOWLEDGE_GRAPHS, ids=lambda entry: entry.name)
def test_sizes_are_those_of_the_files(entry: DatasetInfo) -> None:
    if entry.note:
        pytest.skip(f"{entry.name}: sizes as published")
    if not entry.source.bundled and not Path(os.environ.get("GSAM_DATA", ""), entry.folder, entry.files[0]).is_file():
        pytest.skip(f"raw files of {entry.name} are not here: set GSAM_DATA to a folder with {entry.folder}")
    graph = load_knowledge_graph(entry.name)
    splits = [len(graph.split(split)) for split in ("train", "valid", "test")]
    assert entry.sizes == TripleSizes(graph.num_entities, graph.num_relations, *splits)
