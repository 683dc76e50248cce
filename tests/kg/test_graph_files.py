from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gsam.datasets.names import NumberedNames
from gsam.files import OutputError
from gsam.kg.graph_files import load_graph, save_graph
from tests.kg.toy_graph import SIZE, toy_graph


def test_everything_comes_back(tmp_path: Path) -> None:
    names = ("naïve\tcafé", "a b", "日本", *(f"e{i}" for i in range(3, SIZE)))
    graph = toy_graph(
        entities=names,
        notes=("2 duplicates dropped",),
        entity_depth=torch.arange(SIZE) % 5,
        entity_type=torch.arange(SIZE) % 2,
        type_names=("animal", "plant"),
    )
    save_graph(graph, tmp_path)
    found = load_graph(tmp_path)
    for name in ("name", "entities", "relations", "notes", "type_names"):
        assert getattr(found, name) == getattr(graph, name)
    for name in ("train", "valid", "test", "entity_depth", "entity_type"):
        assert torch.equal(getattr(found, name), getattr(graph, name))
        assert getattr(found, name).dtype == torch.int64


def test_what_a_graph_has_not_stays_away(tmp_path: Path) -> None:
    save_graph(toy_graph(), tmp_path)
    found = load_graph(tmp_path)
    assert found.entity_depth is None
    assert found.entity_type is None


def test_numbered_entities_are_kept_as_a_number(tmp_path: Path) -> None:
    save_graph(toy_graph(entities=NumberedNames(SIZE)), tmp_path)
    assert json.loads((tmp_path / "graph.json").read_text())["entities"] == SIZE
    assert load_graph(tmp_path).entities == NumberedNames(SIZE)


@pytest.mark.parametrize("name", ["graph.json", "triples.npz"])
@pytest.mark.parametrize("content", [None, b"", b"[1, 2]", b"PK\x03\x04 half an archive", b"\xff\xfe"])
def test_broken_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    save_graph(toy_graph(), tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError, match=r"expected the graph of a run in .*; train again"):
        load_graph(tmp_path)
