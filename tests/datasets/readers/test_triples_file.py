from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph, load

Row = tuple[str, str, str]
ROWS: list[Row] = [(f"e{i * 7 % 23}", f"r{i % 3}", f"e{i * 5 % 19}") for i in range(150)]
DISTINCT = list(dict.fromkeys(ROWS))
SUFFIXES = [".tsv", ".csv", ".nt"]


def write(tmp_path: Path, suffix: str, rows: list[Row] = ROWS, heading: str = "") -> Path:
    line = {".tsv": "{}\t{}\t{}", ".csv": "{},{},{}", ".nt": "<{}> <{}> <{}> ."}[suffix]
    path = tmp_path / f"mine{suffix}"
    path.write_text(heading + "".join(line.format(*row) + "\n" for row in rows))
    return path


def named(graph: KnowledgeGraph, split: str) -> list[Row]:
    return [(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in graph.split(split).tolist()]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_split_is_a_partition_of_80_10_10(suffix: str, tmp_path: Path) -> None:
    graph = load(write(tmp_path, suffix))
    assert isinstance(graph, KnowledgeGraph)
    tenth = round(len(DISTINCT) / 10)
    parts = {split: named(graph, split) for split in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [len(DISTINCT) - 2 * tenth, tenth, tenth]
    assert sorted(row for part in parts.values() for row in part) == sorted(DISTINCT)
    assert {r for _, r, _ in parts["train"]} == {r for _, r, _ in ROWS}
    assert {e for h, _, t in parts["train"] for e in (h, t)} == {e for h, _, t in ROWS for e in (h, t)}
    assert graph.name == "mine"
    assert len(graph.notes) == (len(DISTINCT) < len(ROWS))


def test_all_formats_and_a_heading_give_the_same_graph(tmp_path: Path) -> None:
    headings = {".csv": "Head,Relation,Tail\n", ".tsv": "subject\tpredicate\tobject\n"}
    graphs = [load(write(tmp_path, suffix)) for suffix in SUFFIXES]
    graphs += [load(write(tmp_path, suffix, heading=heading)) for suffix, heading in headings.items()]
    for graph in graphs[1:]:
        assert isinstance(graph, KnowledgeGraph)
        assert graph.entities == graphs[0].entities  # type: ignore[union-attr]
        assert torch.equal(graph.all_triples(), graphs[0].all_triples())  # type: ignore[union-attr]
    assert any("line 1 taken as heading" in note for note in graphs[-1].notes)  # type: ignore[union-attr]


def test_seed_chooses_the_split_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, ".tsv")
    first, again, other = (KnowledgeGraph.from_file(path, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test, again.test)
    assert not torch.equal(first.test, other.test)
    assert first.entities == other.entities == tuple(dict.fromkeys(e for h, _, t in ROWS for e in (h, t)))


def test_duplicates_are_noted_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv", [*DISTINCT, DISTINCT[3]], heading="head,relation,tail\n")
    assert KnowledgeGraph.from_file(path).notes == (
        f"{path}: line 1 taken as heading",
        f"{path}: 1 duplicate dropped (line {len(DISTINCT) + 2})",
    )


def test_entities_that_training_cannot_keep_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path, ".tsv", [(f"leaf{i}", "in", "root") for i in range(50)])
    graph = KnowledgeGraph.from_file(path)
    assert len(graph.test) == 5
    assert graph.notes == (f"{path}: split leaves 10 of 51 entities unseen in training",)


@pytest.mark.parametrize("rows", [[], [("a", "r", "b")], [("a", "r", "b"), ("b", "s", "c"), ("c", "t", "d")]])
def test_too_few_to_split(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"mine\.tsv: {len(rows)} different triples and .* are too few to split"):
        load(write(tmp_path, ".tsv", rows))


def test_nothing_but_literals_says_so(tmp_path: Path) -> None:
    (tmp_path / "g.nt").write_text('<a> <p> "1" .\n')
    with pytest.raises(DatasetError, match=r"too few to split.*1 statement about literals skipped"):
        load(tmp_path / "g.nt")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"g\.tsv: no such file"):
        load(tmp_path / "g.tsv")
    with pytest.raises(DatasetError, match=r"g\.txt: expected a file that ends in \.tsv, \.csv, \.nt, or a folder"):
        KnowledgeGraph.from_file(tmp_path / "g.txt")
