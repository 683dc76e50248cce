from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gsam.datasets.readers.geom_gcn import read_edges, read_splits, table


def test_table_skips_the_heading_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\tb\n1\t2\n\n3\t4\n")
    assert table(tmp_path / "t.txt") == [["1", "2"], ["3", "4"]]


def test_edges_are_sorted_once_each_and_directed(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("a\tb\n2\t0\n0\t1\n2\t0\n1\t1\n")
    assert read_edges(tmp_path / "e.txt", 3).tolist() == [[0, 1, 2], [1, 1, 0]]


def test_splits_are_columns(tmp_path: Path) -> None:
    eye = np.eye(3, dtype=np.uint8)
    for i in range(2):
        np.savez(tmp_path / f"{i}.npz", train_mask=eye[i], val_mask=eye[i + 1], test_mask=eye[2 - i])
    masks = read_splits(tmp_path, ("0.npz", "1.npz"))
    assert torch.equal(masks["train_mask"], torch.tensor([[1, 0], [0, 1], [0, 0]]).bool())
    assert torch.equal(masks["test_mask"], torch.tensor([[0, 0], [0, 1], [1, 0]]).bool())
