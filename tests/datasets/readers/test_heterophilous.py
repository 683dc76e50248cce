from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.datasets import HeterophilousGraphDataset
from torch_geometric.utils import to_undirected

from gsam.datasets import DatasetError, load


def tiny() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    part = rng.integers(0, 3, (10, 12))
    return {
        "node_features": rng.normal(size=(12, 4)).astype(np.float32) * (rng.random((12, 4)) < 0.5),
        "node_labels": np.arange(12) % 2,
        "edges": rng.integers(0, 12, (20, 2)),
        **{f"{name}_masks": part == i for i, name in enumerate(("train", "val", "test"))},
    }


def write(root: Path, arrays: dict[str, Any]) -> None:
    raw = root / "HeterophilousGraphDataset/minesweeper/raw"
    raw.mkdir(parents=True)
    np.savez(raw / "minesweeper.npz", **arrays)


def test_equals_pyg_on_a_small_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_as_pyg: Callable[..., None]
) -> None:
    write(tmp_path, tiny())
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    theirs = HeterophilousGraphDataset(str(tmp_path / "HeterophilousGraphDataset"), "minesweeper")[0]
    same_as_pyg(load("minesweeper"), theirs)


def test_equals_pyg_on_minesweeper(
    raw_copy: Callable[..., Any], same_as_pyg: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root, _ = raw_copy("minesweeper")
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load("minesweeper")
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    same_as_pyg(ours, HeterophilousGraphDataset(str(root / "HeterophilousGraphDataset"), "minesweeper")[0])


def test_filtered_chameleon(raw_copy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entry, root, raw = raw_copy("chameleon-filtered")
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load("chameleon-filtered")
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    with np.load(raw / entry.files[0]) as arrays:
        assert torch.equal(ours.edge_index, to_undirected(torch.from_numpy(arrays["edges"]).T, num_nodes=890))
        assert np.array_equal(ours.features.to_dense().numpy(), arrays["node_features"])
        assert ours.val_mask is not None
        assert np.array_equal(ours.val_mask.numpy(), arrays["val_masks"].T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": np.array([[0, 1], [2, 12]])}, r"edge 1 \(2 -> 12\)"),
        ({"edges": np.array([0, 1])}, r"edges must be integers \[E, 2\]"),
        ({"node_features": np.full((12, 4), np.nan)}, "found nan at row 0, column 0"),
        ({"node_labels": np.full(12, 0.5)}, "labels must be whole numbers, found 0.5 at node 0"),
    ],
)
def test_bad_values_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    write(tmp_path, tiny() | change)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=rf"minesweeper\.npz: .*{message}"):
        load("minesweeper")
