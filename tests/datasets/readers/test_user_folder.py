from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph, NodeDataset, load, load_knowledge_graph, load_nodes, save_folder
from gsam.graphs import MappedRows


@pytest.fixture
def folder(tmp_path: Path, small: NodeDataset) -> Path:
    save_folder(small, tmp_path / "mine")
    return tmp_path / "mine"


def test_round_trip(folder: Path, small: NodeDataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch on arrays that are not writable, among others
        back = load(folder)
        rows = back.features.rows(torch.tensor([3, 1]))
    assert isinstance(back, NodeDataset)
    assert isinstance(back.features, MappedRows)
    assert torch.equal(rows.to_dense(), small.features.in_memory().to_dense()[[3, 1]])
    assert torch.equal(back.features.in_memory().to_dense(), small.features.in_memory().to_dense())
    for name in ("edge_index", "labels", "edge_weight", "train_mask", "val_mask", "test_mask"):
        found, expected = getattr(back, name), getattr(small, name)
        assert (found is None) == (expected is None), name
        assert expected is None or torch.equal(found, expected), name
    assert (back.name, back.class_names, back.class_splits) == ("mine", small.class_names, small.class_splits)
    assert back.to_pyg(dense=True).x.shape == (small.num_nodes, small.num_features)
    assert load_nodes(str(folder)).num_edges == small.num_edges


def test_saved_again_from_its_file(folder: Path, tmp_path: Path) -> None:
    save_folder(load_nodes(folder), tmp_path / "again")
    assert (tmp_path / "again" / "features.npy").read_bytes() == (folder / "features.npy").read_bytes()
    with pytest.raises(DatasetError, match="expected a new folder, found one"):
        save_folder(load_nodes(folder), tmp_path / "again")


def test_the_least_that_there_must_be(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.eye(4, dtype=np.float16))
    np.save(tmp_path / "edge_index.npy", np.array([[0, 1], [1, 2]], dtype=np.int32))
    np.save(tmp_path / "labels.npy", np.array([0, 1, 1, -1]))
    found = load_nodes(tmp_path)
    assert found.edge_index.dtype == torch.int64
    assert found.class_names == ("class 0", "class 1")
    assert found.edge_weight is None
    assert found.train_mask is None


def test_it_is_no_knowledge_graph(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a knowledge graph, found node data set"):
        load_knowledge_graph(folder)
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text("a\tr\tb\n")
    assert isinstance(load(tmp_path), KnowledgeGraph)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("features", np.zeros(3), r"features\.npy: expected numbers \[N, F\]"),
        ("labels", np.array(["a"]), r"labels\.npy: expected an array of numbers"),
        ("labels", np.full((2, 2), 1), r"labels\.npy: expected one whole number per node"),
        ("labels", np.zeros(3, dtype=int), "int64 labels, one per node, found"),
        ("edge_index", np.zeros((2, 3)), r"edge_index\.npy: expected integers \[2, E\]"),
        ("edge_index", np.array([[0], [99]]), "names node 99"),
        ("edge_weight", np.ones(1), "edge weights, one per edge"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, name: str, content: np.ndarray, message: str) -> None:
    np.save(folder / f"{name}.npy", content)
    with pytest.raises(DatasetError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_missing_and_broken_files(folder: Path) -> None:
    (folder / "class_splits.json").write_text('{"mine": [1]}')
    with pytest.raises(DatasetError, match=r"class_splits\.json: expected JSON such as"):
        load(folder)
    (folder / "labels.npy").write_bytes(b"no")
    with pytest.raises(DatasetError, match=r"labels\.npy: expected an array that numpy\.save wrote"):
        load(folder)
    (folder / "labels.npy").unlink()
    with pytest.raises(DatasetError, match=r"labels\.npy: expected an array"):
        load(folder)
