from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_geometric.datasets import Actor

from gsam.datasets import DatasetError, info, load
from gsam.datasets.readers.actor import read


def test_equals_pyg(
    raw_copy: Callable[..., Any], same_as_pyg: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root, _ = raw_copy("actor")
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load("actor")
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    same_as_pyg(ours, Actor(str(root / "Actor"))[0])


def write_tiny(folder: Path, nodes: str = "2\t0,3\t1\n0\t1\t0\n1\t2,2\t1\n", edges: str = "0\t2\n0\t2\n1\t1\n") -> None:
    (folder / "out1_node_feature_label.txt").write_text("node_id\tfeature\tlabel\n" + nodes)
    (folder / "out1_graph_edges.txt").write_text("node_id\tnode_id\n" + edges)
    mask = np.array([1, 0, 0], dtype=np.uint8)
    for i in range(10):
        shifted = {f"{name}_mask": np.roll(mask, i + j) for j, name in enumerate(("train", "val", "test"))}
        np.savez(folder / f"film_split_0.6_0.2_{i}.npz", **shifted)


def test_a_small_file_by_hand(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    data = read(tmp_path, info("actor"))
    assert data.features.to_dense().tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert data.labels.tolist() == [0, 1, 1]
    assert data.edge_index.tolist() == [[0, 1], [2, 1]]
    assert data.val_mask is not None
    assert data.val_mask[:, 0].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": "0\t1\t0\n0\t1\t0\n"}, r"feature_label\.txt: broken file .*node numbers must be 0 to 1, each once"),
        ({"edges": "0\t3\n"}, r"graph_edges\.txt: edge 0 \(0 -> 3\)"),
        ({"edges": "0\n"}, r"graph_edges\.txt: broken file"),
    ],
)
def test_broken_files_are_named(change: dict[str, str], message: str, tmp_path: Path) -> None:
    write_tiny(tmp_path, **change)
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, info("actor"))
