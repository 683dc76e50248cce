from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gsam.datasets import DatasetError, NodeDataset, load, save_npz


def write(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def test_values_and_directions_stay_as_they_are(tmp_path: Path, benchmark_arrays: dict[str, Any]) -> None:
    data = load(write(tmp_path / "mine.npz", benchmark_arrays))
    assert data.name == "mine"
    assert float(data.features.value.max()) > 1, "counts must not be made binary"
    edges = set(map(tuple, data.edge_index.T.tolist()))
    assert any(a == b for a, b in edges), "self-loops stay"
    assert any((b, a) not in edges for a, b in edges), "directed edges stay directed"
    assert data.edge_weight is None
    assert data.class_names == ("class 0", "class 1", "class 2")


def test_dense_features(tmp_path: Path, benchmark_arrays: dict[str, Any]) -> None:
    sparse = load(write(tmp_path / "a.npz", benchmark_arrays))
    rest = {key: value for key, value in benchmark_arrays.items() if not key.startswith("attr")}
    dense = load(write(tmp_path / "b.npz", rest | {"attr_matrix": sparse.features.to_dense().numpy()}))
    assert torch.equal(sparse.features.to_dense(), dense.features.to_dense())


def test_optional_names_and_masks(tmp_path: Path, benchmark_arrays: dict[str, Any]) -> None:
    extra = {
        "class_names": np.array(["x", "y", "z", "unused"]),
        "node_names": np.array([object()] * 40, dtype=object),
        "train_mask": np.arange(40) < 10,
    }
    data = load(write(tmp_path / "a.npz", benchmark_arrays | extra))
    assert data.class_names == ("x", "y", "z", "unused")
    assert data.node_names == (), "pickled names are left out"
    assert data.train_mask is not None
    assert data.train_mask.shape == (40, 1)
    assert int(data.train_mask.sum()) == 10


def test_round_trip(tmp_path: Path, small: NodeDataset) -> None:
    save_npz(small, tmp_path / "small.npz")
    back = load(tmp_path / "small.npz")
    order = torch.argsort(small.edge_index[0], stable=True)
    assert small.edge_weight is not None
    assert torch.equal(back.edge_index, small.edge_index[:, order])
    assert torch.equal(back.edge_weight, small.edge_weight[order])
    assert torch.equal(back.features.to_dense(), small.features.to_dense())
    assert torch.equal(back.labels, small.labels)
    assert torch.equal(back.train_mask, small.train_mask)
    assert back.val_mask is None
    assert back.test_mask is None
    for name in ("name", "class_names", "class_splits", "node_names", "feature_names"):
        assert getattr(back, name) == getattr(small, name)


def test_a_failing_save_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, small: NodeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_npz(small, tmp_path / "small.npz")
    before = (tmp_path / "small.npz").read_bytes()

    def half(file: Any, **_: Any) -> None:
        file.write(b"PK")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(OSError, match="disk full"):
        save_npz(dataclasses.replace(small, name="other"), tmp_path / "small.npz")
    assert (tmp_path / "small.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["small.npz"]


def test_save_wants_the_suffix_that_load_wants(tmp_path: Path, small: NodeDataset) -> None:
    with pytest.raises(DatasetError, match=r"ends in \.npz"):
        save_npz(small, tmp_path / "small.dat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "missing labels"),
        ({"attr_data": None}, "missing attr_data"),
        ({"adj_indptr": None, "adj_shape": None}, "missing adj_indptr, adj_shape"),
        ({"labels": np.array([None] * 40)}, "array 'labels' cannot be read without unpickling"),
        ({"labels": np.arange(40) % 3 - 2}, "label -2 of node 0 is out of range"),
        ({"labels": np.array([*range(39), 70])}, "label 70 of node 39 is out of range"),
        ({"labels": np.arange(40) % 3, "class_names": np.array(["a", "b"])}, "label 2 of node 2 is out of range"),
        ({"labels": np.arange(39) % 3}, "expected 40 int64 labels"),
        ({"labels": np.full(40, 0.5)}, "labels must be whole numbers, found 0.5 at node 0"),
        ({"adj_shape": np.array([41, 41]), "adj_indptr": np.zeros(42, int)}, "expected 0 to the length"),
        ({"class_splits": np.array("[1]")}, "class_splits must be JSON"),
        ({"attr_matrix": np.full((40, 2), np.nan)}, "found nan at row 0, column 0"),
        ({"attr_matrix": np.zeros(40)}, r"attr_matrix must be numeric \[N, F\]"),
    ],
)
def test_bad_files_get_one_clear_line(
    tmp_path: Path, benchmark_arrays: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    arrays = {key: value for key, value in (benchmark_arrays | change).items() if value is not None}
    with pytest.raises(DatasetError, match=message) as raised:
        load(write(tmp_path / "mine.npz", arrays))
    assert "mine" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "at", "value", "message"),
    [
        ("adj_indices", 3, 40, r"edge 3 \(\d+ -> 40\) names node 40"),
        ("adj_indices", 0, -1, r"edge 0 \(\d+ -> -1\) names node -1"),
        ("adj_data", 2, -1.0, r"found -1.0 on edge 2"),
        ("adj_data", 2, np.nan, r"found nan on edge 2"),
        ("attr_data", 0, np.inf, r"found inf at row 0"),
        ("attr_indices", 0, 9, r"attr_indices names column 9 in row 0, expected 0 to 8"),
    ],
)
def test_bad_entries_are_named(
    tmp_path: Path, benchmark_arrays: dict[str, Any], key: str, at: int, value: float, message: str
) -> None:
    benchmark_arrays[key][at] = value
    with pytest.raises(DatasetError, match=message):
        load(write(tmp_path / "mine.npz", benchmark_arrays))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file(tmp_path: Path, benchmark_arrays: dict[str, Any], share: float) -> None:
    path = write(tmp_path / "mine.npz", benchmark_arrays)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DatasetError, match=r"mine\.npz: expected a \.npz archive"):
        load(path)
