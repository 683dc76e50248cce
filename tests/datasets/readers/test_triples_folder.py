from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gsam.datasets import DatasetError, DatasetInfo, KnowledgeGraph, TripleSizes, load
from tests.datasets.naive_triples import naive_lines, naive_numbers

NAMES = ["wn18rr", "fb15k-237", "umls", "kinship", "nations"]
RawCopy = Callable[[str], tuple[DatasetInfo, Path, Path]]


def write(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "pets", train="dog\tis_a\tanimal\ncat\tis_a\tanimal\n", valid="", test="cat\tis_a\tdog\n")


@pytest.mark.parametrize("name", NAMES)
def test_equals_a_naive_reader(name: str, raw_copy: RawCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, root, raw = raw_copy(name)
    monkeypatch.setenv("GSAM_DATA", str(root))
    graph = load(name)
    assert isinstance(graph, KnowledgeGraph)
    splits, entities, relations = naive_numbers({s: naive_lines(raw / f"{s}.txt") for s in ("train", "valid", "test")})
    for split, rows in splits.items():
        assert torch.equal(graph.split(split), torch.tensor(rows))
    assert list(graph.entities) == entities
    assert list(graph.relations) == relations
    counts = (len(graph.split(split)) for split in splits)
    assert TripleSizes(graph.num_entities, graph.num_relations, *counts) == entry.sizes
    assert graph.name == name


def test_entities_unseen_in_training_are_kept_and_counted(raw_copy: RawCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    _, root, raw = raw_copy("wn18rr")
    monkeypatch.setenv("GSAM_DATA", str(root))
    graph = load("wn18rr")
    seen = {name for head, _, tail in naive_lines(raw / "train.txt") for name in (head, tail)}
    unseen = {name for head, _, tail in naive_lines(raw / "test.txt") for name in (head, tail)} - seen
    assert len(unseen) == 209
    assert {graph.entities[i] for i in graph.test[:, [0, 2]].unique().tolist()} >= unseen
    assert any("test.txt: 209 entities unseen in training" in note for note in graph.notes)


def test_numbers_are_those_of_pyg(raw_copy: RawCopy) -> None:
    """FB15k-237, whose lines end in CR LF."""
    from torch_geometric.datasets import FB15k_237

    _, _, raw = raw_copy("fb15k-237")
    graph = KnowledgeGraph.from_folder(raw)
    for ours, theirs in (("train", "train"), ("valid", "val"), ("test", "test")):
        data = FB15k_237(str(raw.parent), split=theirs)[0]
        head, tail = data.edge_index
        assert torch.equal(graph.split(ours), torch.stack([head, data.edge_type, tail], dim=1))
        assert data.num_nodes == graph.num_entities


def test_folder_by_path(folder: Path) -> None:
    for graph in (KnowledgeGraph.from_folder(folder), load(folder), load(str(folder))):
        assert isinstance(graph, KnowledgeGraph)
        assert graph.name == "pets"
        assert graph.entities == ("dog", "animal", "cat")
        assert graph.train.tolist() == [[0, 0, 1], [2, 0, 1]]
        assert graph.valid.shape == (0, 3)
        assert graph.test.tolist() == [[2, 0, 0]]
        assert graph.notes == ()


def test_files_in_a_folder_raw(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    folder.rename(tmp_path / "outer" / "raw")
    graph = KnowledgeGraph.from_folder(tmp_path / "outer")
    assert (graph.name, len(graph.train)) == ("outer", 2)


def test_reading_writes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    KnowledgeGraph.from_folder(folder)
    assert sorted(folder.rglob("*")) == before


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "valid.txt").unlink()
    with pytest.raises(
        DatasetError, match=r"pets: valid\.txt missing; a knowledge graph is a folder with train\.txt, "
    ):
        load(folder)
    (folder / "test.txt").unlink()
    with pytest.raises(DatasetError, match=r"valid\.txt and test\.txt missing"):
        load(folder)
    with pytest.raises(DatasetError, match=r"nowhere: no such folder; expected one with train\.txt, valid\.txt and"):
        KnowledgeGraph.from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": ""}, r"train\.txt: expected at least one triple to train on, found none"),
        ({"train": "dog\tis_a\n"}, r"train\.txt, line 1: expected 3 columns"),
        ({"valid": "dog\tis_a\tcat\n\ndog\tfears\tcat\n"}, r"valid\.txt, line 3: relation 'fears' does not occur in "),
        ({"test": b"dog\tis_a\tcat\nd\xf6g\tis_a\tcat\n"}, r"test\.txt, line 2: not UTF-8: byte 0xF6 at offset 14"),
        ({"test": "dog\t\tcat"}, r"test\.txt, line 1: the relation is empty"),
    ],
)
def test_bad_files_are_named_with_line_and_reason(folder: Path, files: dict[str, str | bytes], message: str) -> None:
    write(folder, **files)
    with pytest.raises(DatasetError, match=message):
        load(folder)
