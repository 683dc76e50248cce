"""Pieces of the geom-gcn text layout, shared by WebKB and Actor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.array_file import ArrayFile, parsing
from gsam.datasets.edges import check_ends, coalesced


def table(path: Path) -> list[list[str]]:
    """Return the tab-separated fields of every line after the heading.

    Raises:
        DatasetError: Unreadable or empty file, with its name.
    """
    with parsing(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines[1:] if line]
        if not rows:
            raise ValueError("no lines after the heading")
    return rows


def read_edges(path: Path, num_nodes: int) -> Tensor:
    """Return the directed edges of the file as int64 [2, E], sorted, each once.

    Raises:
        DatasetError: A line that is not two numbers, or an edge to a missing node.
    """
    with parsing(path):
        pairs = np.array(table(path), dtype=np.int64).reshape(-1, 2)
    check_ends(pairs[:, 0], pairs[:, 1], num_nodes, path)
    return coalesced(pairs[:, 0], pairs[:, 1], num_nodes)


def read_splits(folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    """Return ``train_mask``, ``val_mask`` and ``test_mask``, each bool [N, S], from S split files."""
    names = ("train_mask", "val_mask", "test_mask")
    splits = []
    for file in files:
        with ArrayFile(folder / file) as arrays:
            splits.append([arrays[name].astype(bool) for name in names])
    stacked = (np.stack(masks, axis=1) for masks in zip(*splits, strict=True))
    return {name: torch.from_numpy(mask) for name, mask in zip(names, stacked, strict=True)}
