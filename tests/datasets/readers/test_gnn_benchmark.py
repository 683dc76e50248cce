from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.datasets import Amazon, CitationFull, Coauthor

from gsam.datasets import DatasetError, info, load


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("coauthor-physics", lambda root: Coauthor(str(root / "Coauthor"), "Physics")),
        ("coauthor-cs", lambda root: Coauthor(str(root / "Coauthor"), "CS")),
        ("corafull", lambda root: CitationFull(str(root / "CitationFull"), "cora")),
        ("amazon-photo", lambda root: Amazon(str(root / "Amazon"), "photo")),
        ("amazon-computers", lambda root: Amazon(str(root / "Amazon"), "computers")),
    ],
)
def test_equals_pyg_on_a_small_file(
    name: str,
    make: Callable[[Path], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    benchmark_arrays: dict[str, Any],
    same_as_pyg: Callable[..., None],
) -> None:
    """Directed edges, a self-loop, counts above 1, and the pickled names that published files carry."""
    entry = info(name)
    (tmp_path / entry.folder).mkdir(parents=True)
    benchmark_arrays["idx_to_class"] = np.array({0: "a"}, dtype=object)
    np.savez(tmp_path / entry.folder / entry.files[0], **benchmark_arrays)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    ours = load(name)
    assert set(ours.features.value.tolist()) == {1.0}
    same_as_pyg(ours, make(tmp_path)[0])


def test_equals_pyg_on_amazon_photo(
    raw_copy: Callable[..., Any], same_as_pyg: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root, _ = raw_copy("amazon-photo")
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load("amazon-photo")
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    same_as_pyg(ours, Amazon(str(root / "Amazon"), "photo")[0])


def test_equals_pyg_on_coauthor_cs_edges_and_labels(
    raw_copy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root, raw = raw_copy("coauthor-cs")
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load("coauthor-cs")
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    with np.load(raw / "ms_academic_cs.npz") as arrays:  # its features are 0 and 1, its edges symmetric: nothing to do
        assert torch.equal(ours.features.col.long(), torch.from_numpy(arrays["attr_indices"]).long())
        assert torch.equal(ours.labels, torch.from_numpy(arrays["labels"]))
        assert torch.equal(ours.edge_index[1], torch.from_numpy(arrays["adj_indices"]).long())


def test_an_edge_to_a_missing_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark_arrays: dict[str, Any]
) -> None:
    benchmark_arrays["adj_indices"][5] = 40
    (tmp_path / "Amazon/Photo/raw").mkdir(parents=True)
    np.savez(tmp_path / "Amazon/Photo/raw/amazon_electronics_photo.npz", **benchmark_arrays)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=r"photo\.npz: edge 5 \(\d+ -> 40\) names a node that does not exist"):
        load("amazon-photo")
