from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from gsam.datasets import DatasetError, load


def graph(**change: Any) -> Data:
    parts = {
        "x": torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.0, 0.5]]),
        "edge_index": torch.tensor([[0, 1, 1], [1, 0, 2]]),
        "y": torch.tensor([0, 1, -1]),
    }
    return Data(**(parts | change))


def saved(tmp_path: Path, content: Any) -> Path:
    torch.save(content, tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def test_a_pyg_data_keeps_its_values(tmp_path: Path) -> None:
    data = load(
        saved(tmp_path, graph(train_mask=torch.tensor([True, False, False]), edge_weight=torch.rand(3).double()))
    )
    assert data.name == "mine"
    assert torch.equal(data.features.to_dense(), graph().x)
    assert torch.equal(data.edge_index, graph().edge_index)
    assert torch.equal(data.labels, graph().y)
    assert data.num_classes == 2
    assert data.train_mask is not None
    assert data.train_mask.tolist() == [[True], [False], [False]]
    assert data.edge_weight is not None
    assert data.edge_weight.dtype == torch.float32


def test_round_trip_through_to_pyg(tmp_path: Path) -> None:
    first = load(saved(tmp_path, graph(edge_weight=torch.tensor([0.5, 1.0, 2.0]))))
    for dense in (True, False):
        again = load(saved(tmp_path, first.to_pyg(dense=dense)))
        assert torch.equal(again.features.to_dense(), first.features.to_dense())
        assert torch.equal(again.edge_index, first.edge_index)
        assert torch.equal(again.edge_weight, first.edge_weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_feature_types(tmp_path: Path, dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(dtype)
    assert torch.equal(load(saved(tmp_path, graph(x=x))).features.to_dense(), x.float())


def test_a_dict_and_edge_attr_as_weights(tmp_path: Path) -> None:
    parts = graph(edge_attr=torch.tensor([[1.0], [2.0], [3.0]]), y=torch.tensor([[0], [1], [1]])).to_dict()
    data = load(saved(tmp_path, parts | {"class_names": ["cat", "dog"]}))
    assert data.edge_weight is not None
    assert data.edge_weight.tolist() == [1.0, 2.0, 3.0]
    assert data.labels.tolist() == [0, 1, 1]
    assert data.class_names == ("cat", "dog")


def test_edge_features_are_not_weights(tmp_path: Path) -> None:
    assert load(saved(tmp_path, graph(edge_attr=torch.rand(3, 4)))).edge_weight is None


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_is_refused_and_never_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"mine\.pt: .*need code from the file"):
        load(saved(tmp_path, {"x": Bomb(tmp_path / "ran")}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HeteroData(), "expected one PyG Data"),
        (torch.ones(3), "expected one PyG Data .*found Tensor"),
        ((graph().to_dict(), None), "save its first graph"),
        (Data(x=torch.ones(2, 2)), "missing edge_index, y"),
        (graph(x=torch.ones(3)), r"x must be \[N, F\]"),
        (graph(x=torch.tensor([[0.0, 1], [1, 0], [0, float("nan")]])), "found nan at row 2, column 1"),
        (graph(edge_index=torch.tensor([[0], [5]])), "names node 5"),
        (graph(y=torch.tensor([0.0, 0.5, 1.0])), "found 0.5 at node 1"),
        (graph(y=torch.tensor([0, 1])), "expected 3 int64 labels"),
        (graph(y=torch.tensor([0, 1, 50])), "label 50 of node 2 is out of range"),
        (graph(edge_weight=torch.tensor([1.0, -1.0, 1.0])), "found -1.0 on edge 1"),
        (graph(edge_weight=torch.tensor([1.0])), "expected 3 floating-point edge weights"),
    ],
)
def test_bad_content_gets_one_clear_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        load(saved(tmp_path, content))
    assert "mine" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 cut"])
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.pt").write_bytes(content)
    with pytest.raises(DatasetError, match=r"mine\.pt: "):
        load(tmp_path / "mine.pt")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = saved(tmp_path, graph())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match=r"mine\.pt: "):
        load(path)
