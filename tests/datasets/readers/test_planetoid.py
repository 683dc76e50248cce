from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from torch_geometric.datasets import Planetoid

from gsam.datasets import DatasetError, info, load


@pytest.mark.parametrize(("name", "pyg_name"), [("cora", "Cora"), ("citeseer", "CiteSeer")])
def test_equals_pyg(
    name: str,
    pyg_name: str,
    raw_copy: Callable[..., Any],
    same_as_pyg: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry, root, _ = raw_copy(name)
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load(name)
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    same_as_pyg(ours, Planetoid(str(root / "Planetoid"), pyg_name)[0])


def tiny_parts() -> dict[str, Any]:
    """Six hundred nodes in the published layout: 60 training rows, 40 test rows in a shuffled order."""
    rng = np.random.default_rng(0)
    features = sp.random(600, 7, density=0.3, random_state=0, format="csr")
    one_hot = np.eye(3, dtype=np.int32)[rng.integers(0, 3, 600)]
    graph: dict[int, list[int]] = defaultdict(list)
    for a, b in rng.integers(0, 600, (900, 2)).tolist():
        graph[a].append(b)
        graph[b].append(a)
    return {
        "x": features[:60],
        "tx": features[560:],
        "allx": features[:560],
        "y": one_hot[:60],
        "ty": one_hot[560:],
        "ally": one_hot[:560],
        "graph": graph,
        "test.index": rng.permutation(np.arange(560, 600)),
    }


def write(root: Path, parts: dict[str, Any], protocol: int) -> Path:
    raw = root / "Planetoid/PubMed/raw"
    raw.mkdir(parents=True)
    for name, part in parts.items():
        path = raw / f"ind.pubmed.{name}"
        if name == "test.index":
            path.write_text("".join(f"{node}\n" for node in part))
        else:
            path.write_bytes(pickle.dumps(part, protocol=protocol))
    return raw


@pytest.mark.parametrize("protocol", [2, 4])
def test_equals_pyg_on_a_small_pubmed(
    protocol: int, tmp_path: Path, same_as_pyg: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, tiny_parts(), protocol)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    same_as_pyg(load("pubmed"), Planetoid(str(tmp_path / "Planetoid"), "PubMed")[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": {0: [1, 600]}}, r"ind\.pubmed\.graph: edge 1 \(0 -> 600\)"),
        ({"graph": [1, 2]}, "broken file"),
        ({"test.index": np.arange(500, 540)}, r"test\.index does not continue allx"),
    ],
)
def test_broken_parts(change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, tiny_parts() | change, protocol=4)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match=message):
        load("pubmed")


def test_a_matrix_that_would_read_out_of_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tiny_parts()
    parts["allx"] = parts["allx"].copy()
    parts["allx"].indices[3] = 10_000_000
    write(tmp_path, parts, protocol=4)
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    with pytest.raises(DatasetError, match="broken file"):
        load("pubmed")


def test_entry_is_the_published_size() -> None:
    assert info("pubmed").sizes == (19_717, 88_648, 500, 3)
