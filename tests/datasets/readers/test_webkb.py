from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_geometric.datasets import WebKB

from gsam.datasets import DatasetError, load


@pytest.mark.parametrize("name", ["texas", "wisconsin", "cornell"])
def test_equals_pyg(
    name: str, raw_copy: Callable[..., Any], same_as_pyg: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root, _ = raw_copy(name)
    monkeypatch.setenv("GSAM_DATA", str(root))
    ours = load(name)
    assert (ours.num_nodes, ours.num_edges, ours.num_features, ours.num_classes) == entry.sizes
    same_as_pyg(ours, WebKB(str(root / "WebKB"), name)[0])


@pytest.mark.parametrize("text", ["", "node_id\tfeature\tlabel\n0\t1,0\n", "node_id\tfeature\tlabel\n0\t1,x\t2\n"])
def test_a_broken_node_file_is_named(text: str, tmp_path: Path) -> None:
    from gsam.datasets import info
    from gsam.datasets.readers.webkb import read

    (tmp_path / "out1_node_feature_label.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"out1_node_feature_label\.txt: "):
        read(tmp_path, info("texas"))
