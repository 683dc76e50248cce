"""The user's own graph as a folder of ``.npy`` files, whose features stay in their file: for graphs that are large."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.array_file import Array
from gsam.datasets.errors import DatasetError
from gsam.datasets.node_dataset import ClassSplits, NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, mask_columns, numbered_classes
from gsam.graphs import MappedRows

FEATURES = "features.npy"
_MASKS = ("train_mask", "val_mask", "test_mask")


def read(path: Path) -> NodeDataset:
    """Read a folder for :func:`gsam.datasets.load`; see :func:`read_nodes`."""
    return read_nodes(path)


def read_nodes(path: str | Path) -> NodeDataset:
    """Read a folder with ``features.npy``, ``edge_index.npy`` and ``labels.npy``, as ``numpy.save`` writes them.

    ``features.npy`` is numbers [N, F]; it is mapped and only rows that are needed are read, as float32
    (:class:`gsam.graphs.MappedRows`), so it may be larger than memory. Everything else is read: ``edge_index.npy``,
    integers [2, E], sources and targets; ``labels.npy``, whole numbers [N] (-1: unlabelled). Optional:
    ``edge_weight.npy`` [E], ``train_mask.npy``, ``val_mask.npy``, ``test_mask.npy`` [N] or [N, S],
    ``class_names.txt``, one name a line, and ``class_splits.json``, such as ``{"mine": {"train": [0], "test": [1]}}``.

    Raises:
        DatasetError: A missing or broken file, or files that do not fit together; the message names the file. NaN or
            infinite features are found when their row is read.
    """
    path = Path(path)
    try:
        features = MappedRows(path / FEATURES)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    labels = integer_labels(_array(path / "labels.npy"), path / "labels.npy")
    return NodeDataset(
        name=path.resolve().name,
        edge_index=_integers(path / "edge_index.npy"),
        features=features,
        labels=labels,
        class_names=_class_names(path / "class_names.txt") or numbered_classes(class_count(labels, path)),
        class_splits=_class_splits(path / "class_splits.json"),
        edge_weight=_weights(path / "edge_weight.npy"),
        train_mask=_mask(path / "train_mask.npy"),
        val_mask=_mask(path / "val_mask.npy"),
        test_mask=_mask(path / "test_mask.npy"),
    )


def save_folder(data: NodeDataset, path: str | Path) -> None:
    """Write a data set as a folder that :func:`read_nodes` reads; features are copied a chunk at a time.

    ``features.npy`` is dense: N x F x 4 bytes. Names of nodes and features are left out.

    Raises:
        DatasetError: ``path`` is there already.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise DatasetError(f"{folder}: expected a new folder, found one; choose another, or delete it") from error
    present = {name: value for name in (*_MASKS, "edge_weight") if (value := getattr(data, name)) is not None}
    for name, value in {"edge_index": data.edge_index, "labels": data.labels, **present}.items():
        np.save(folder / f"{name}.npy", value.cpu().numpy())
    (folder / "class_names.txt").write_text("".join(f"{name}\n" for name in data.class_names), encoding="utf-8")
    if data.class_splits:
        (folder / "class_splits.json").write_text(json.dumps({k: dict(v) for k, v in data.class_splits.items()}))
    size = (data.num_nodes, data.num_features)
    features = np.lib.format.open_memmap(folder / FEATURES, mode="w+", dtype=np.float32, shape=size)
    start = 0
    for chunk in data.features.chunks():
        features[start : start + len(chunk)] = chunk.to_dense().cpu().numpy()
        start += len(chunk)
    features.flush()


def _array(path: Path) -> Array:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path}: expected an array that numpy.save wrote, found {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise DatasetError(f"{path}: expected an array of numbers, found {getattr(found, 'dtype', 'an archive')}")
    return found


def _integers(path: Path) -> Tensor:
    edges = _array(path)
    if edges.dtype.kind not in "iu" or edges.ndim != 2 or len(edges) != 2:
        raise DatasetError(f"{path}: expected integers [2, E], found {edges.dtype}{list(edges.shape)}")
    return torch.from_numpy(edges.astype(np.int64, copy=False))


def _weights(path: Path) -> Tensor | None:
    return torch.from_numpy(_array(path).astype(np.float32)) if path.exists() else None


def _mask(path: Path) -> Tensor | None:
    return mask_columns(torch.from_numpy(_array(path))) if path.exists() else None


def _class_names(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()


def _class_splits(path: Path) -> ClassSplits:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: {part: tuple(map(int, labels)) for part, labels in split.items()} for name, split in found.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f'{path}: expected JSON such as {{"mine": {{"train": [0], "test": [1]}}}}, found {error}'
        ) from error
