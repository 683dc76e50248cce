from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from gsam.datasets import (
    DatasetError,
    KnowledgeGraph,
    NodeDataset,
    list_datasets,
    load,
    load_knowledge_graph,
    load_nodes,
    published_splits,
    save_npz,
)
from gsam.datasets.set_names import KnowledgeGraphName, NodeSetName


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.npz: no such file"):
        load(tmp_path / "nowhere.npz")


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "graph.xls").touch()
    for name in (tmp_path / "graph.xls", str(tmp_path / "graph.xls")):
        with pytest.raises(
            DatasetError, match=r"graph\.xls: expected a \.npz or \.pt file .*or a \.tsv, \.csv or \.nt"
        ):
            load(name)
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        load(tmp_path / "nowhere")


def test_unknown_name() -> None:
    with pytest.raises(DatasetError, match="did you mean minesweeper"):
        load("minesweper")


def test_broken_raw_file_is_named(empty_cache: Path) -> None:
    raw = empty_cache / "Amazon/Photo/raw"
    raw.mkdir(parents=True)
    (raw / "amazon_electronics_photo.npz").write_text("<html>moved</html>")
    with pytest.raises(DatasetError, match=r"amazon_electronics_photo\.npz: expected a \.npz archive"):
        load("amazon-photo")


def place(root: Path, arrays: dict[str, Any], classes: int) -> None:
    raw = root / "Coauthor/CS/raw"
    raw.mkdir(parents=True, exist_ok=True)
    np.savez(raw / "ms_academic_cs.npz", **arrays | {"labels": np.arange(40) % classes})


def test_class_splits_of_the_literature_are_attached(empty_cache: Path, benchmark_arrays: dict[str, Any]) -> None:
    place(empty_cache, benchmark_arrays, classes=15)
    splits = load("coauthor-cs").class_splits
    assert set(splits) == {"fgsam", "tlp", "cola", "cosmic"}
    assert splits["tlp"] == published_splits("coauthor-cs")["tlp"].parts


def test_class_splits_for_another_number_of_classes_are_not(
    empty_cache: Path, benchmark_arrays: dict[str, Any]
) -> None:
    place(empty_cache, benchmark_arrays, classes=14)
    assert load("coauthor-cs").class_splits == {}


def test_a_split_that_comes_with_the_files_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    own = load("wordnet").class_splits
    assert set(own) == {"wordnet"}
    tlp = published_splits("coauthor-cs")["tlp"]
    monkeypatch.setattr("gsam.datasets._load.published_splits", lambda *_, **__: {"wordnet": tlp, "other": tlp})
    found = load("wordnet").class_splits
    assert found["wordnet"] == own["wordnet"]
    assert found["other"] == tlp.parts


@pytest.fixture
def own_graphs(tmp_path: Path) -> list[Path]:
    """A folder and a file with a knowledge graph each."""
    folder, file = tmp_path / "pets", tmp_path / "pets.tsv"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text("dog\tis_a\tanimal\n")
    file.write_text("".join(f"e{i}\tr\te{i % 3}\n" for i in range(12)))
    return [folder, file]


def test_knowledge_graphs_by_path(own_graphs: list[Path]) -> None:
    for path in own_graphs:
        for name in (path, str(path)):
            graph = load(name)
            assert isinstance(graph, KnowledgeGraph)
            assert graph.name == "pets"
            assert load_knowledge_graph(name).entities == graph.entities
            with pytest.raises(
                DatasetError, match=r"expected a graph with labelled nodes, found knowledge graph .*pets"
            ):
                load_nodes(name)


def test_node_sets_are_no_knowledge_graphs(tmp_path: Path, small: NodeDataset) -> None:
    save_npz(small, tmp_path / "small.npz")
    assert load_nodes(tmp_path / "small.npz").num_nodes == small.num_nodes
    for name in (tmp_path / "small.npz", "wordnet", "Corafull"):
        with pytest.raises(DatasetError, match=f"expected a knowledge graph, found node data set '{name}'"):
            load_knowledge_graph(name)


def test_the_other_kind_is_refused_before_anything_is_read_or_downloaded(empty_cache: Path) -> None:
    with pytest.raises(DatasetError, match="found knowledge graph 'ogbl-wikikg2': `gsam kg` trains on it"):
        load_nodes("ogbl-wikikg2")
    assert not empty_cache.exists()


@pytest.mark.parametrize("door", [load_nodes, load_knowledge_graph])
def test_unknown_names_get_the_usual_message(door: Any) -> None:
    with pytest.raises(DatasetError, match="unknown data set 'wn18r'; did you mean wn18rr"):
        door("wn18r")


def test_a_name_of_the_catalogue_goes_before_a_folder(
    own_graphs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_graphs[0].rename(tmp_path / "wordnet")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load("wordnet"), NodeDataset)
    for path in ("./wordnet", Path("wordnet")):
        assert isinstance(load(path), KnowledgeGraph)
        assert isinstance(load_knowledge_graph(path), KnowledgeGraph)


def test_types_know_every_name() -> None:
    kinds = {True: get_args(KnowledgeGraphName), False: get_args(NodeSetName)}
    for is_graph, names in kinds.items():
        assert set(names) == {entry.name for entry in list_datasets() if entry.is_knowledge_graph == is_graph}
