from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gsam.datasets import DatasetInfo, NodeDataset, info
from gsam.graphs import SparseRows

Arrays = dict[str, Any]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet, and no data folder."""
    monkeypatch.delenv("GSAM_DATA", raising=False)
    monkeypatch.setenv("GSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def raw_copy(tmp_path: Path) -> Callable[[str], tuple[DatasetInfo, Path, Path]]:
    """Copy the real raw files of a set: returns its entry, the new data folder and the raw folder in it."""

    def copy(name: str) -> tuple[DatasetInfo, Path, Path]:
        root = os.environ.get("GSAM_DATA")
        entry = info(name)
        if not root or not (Path(root) / entry.folder / entry.files[0]).is_file():
            pytest.skip(f"raw files of {name} are not here: set GSAM_DATA to a folder with {entry.folder}")
        shutil.copytree(Path(root) / entry.folder, tmp_path / entry.folder)
        return entry, tmp_path, tmp_path / entry.folder

    return copy


@pytest.fixture
def same_as_pyg() -> Callable[[NodeDataset, Any], None]:
    """Compare a loaded set with the PyG ``Data`` of the same files, bit for bit."""

    def compare(ours: NodeDataset, theirs: Any) -> None:
        assert torch.equal(ours.features.to_dense(), theirs.x)
        assert torch.equal(ours.edge_index, theirs.edge_index)
        assert torch.equal(ours.labels, theirs.y)
        for name in ("train_mask", "val_mask", "test_mask"):
            mask = getattr(theirs, name, None)
            found = getattr(ours, name)
            if mask is None:
                assert found is None
            else:
                assert torch.equal(found, mask if mask.dim() == 2 else mask[:, None])

    return compare


@pytest.fixture
def benchmark_arrays() -> Arrays:
    """Random arrays in the gnn-benchmark layout: directed edges with a self-loop, counts as features."""
    rng = np.random.default_rng(0)
    adjacency = sp.random(40, 40, density=0.08, random_state=1, format="csr", dtype=np.float32)
    adjacency.data[:] = 1
    adjacency = sp.csr_matrix(adjacency + sp.eye(40, dtype=np.float32).multiply(np.arange(40) % 7 == 0))
    attributes = sp.csr_matrix(rng.poisson(0.4, (40, 9)).astype(np.float32))
    return {
        **{f"adj_{part}": getattr(adjacency, part) for part in ("data", "indices", "indptr")},
        "adj_shape": np.array(adjacency.shape),
        **{f"attr_{part}": getattr(attributes, part) for part in ("data", "indices", "indptr")},
        "attr_shape": np.array(attributes.shape),
        "labels": np.arange(40) % 3,
    }


@pytest.fixture
def small() -> NodeDataset:
    """Four nodes, a duplicate edge, a self-loop, weights, masks and names."""
    return NodeDataset(
        name="small",
        edge_index=torch.tensor([[0, 1, 1, 3, 0], [1, 0, 0, 3, 2]]),
        features=SparseRows.from_dense(torch.tensor([[0.0, 2.5], [1.0, 0.0], [0.0, 0.0], [-1.0, 3.0]])),
        labels=torch.tensor([0, 1, -1, 1]),
        class_names=("cat", "dög"),
        class_splits={"mine": {"train": (0,), "valid": (), "test": (1,)}},
        train_mask=torch.tensor([[True, False], [False, True], [False, False], [False, False]]),
        edge_weight=torch.tensor([1.0, 0.5, 2.0, 1.0, 0.25]),
        node_names=("a", "b", "c", "d"),
        feature_names=("u", "v"),
    )
