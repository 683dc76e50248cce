"""The user's own ``.pt`` with a PyG ``Data``, read without running code from the file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gsam.datasets.errors import DatasetError
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.readers.common import class_count, integer_labels, mask_columns, numbered_classes, sparse_features
from gsam.graphs import SparseRows

_MASKS = ("train_mask", "val_mask", "test_mask")


def read(path: Path) -> NodeDataset:
    """Read a file for :func:`gsam.datasets.load`; see :func:`read_pt`."""
    return read_pt(path)


def read_pt(path: str | Path) -> NodeDataset:
    """Read a ``.pt`` that holds a PyG ``Data``, or a dict with the same names.

    Needed: ``x`` [N, F] (dense or torch sparse), ``edge_index`` [2, E], ``y`` [N] or [N, 1] (-1: unlabelled).
    Optional: ``train_mask val_mask test_mask`` [N] or [N, S], ``edge_weight`` [E] (or ``edge_attr`` [E] or [E, 1]),
    ``class_names``. Values are kept as they are.

    The file is loaded with ``weights_only=True`` plus PyG's own classes: a file that needs any other code is refused.

    Raises:
        DatasetError: Broken file, unknown content, or missing parts; the message names the file.
    """
    path = Path(path)
    parts = _parts(_load(path), path)
    features = _features(parts["x"], path)
    labels = integer_labels(_array(parts["y"]), path)
    names = tuple(str(name) for name in parts.get("class_names") or ())
    masks: dict[str, Any] = {name: mask_columns(parts[name]) for name in _MASKS if isinstance(parts.get(name), Tensor)}
    return NodeDataset(
        name=path.stem,
        edge_index=parts["edge_index"],
        features=features,
        labels=labels,
        class_names=names or numbered_classes(class_count(labels, path)),
        edge_weight=_edge_weight(parts),
        **masks,
    )


def _load(path: Path) -> Any:
    _trust_pyg_containers()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DatasetError(
            f"{path}: not a torch file of plain tensors; loading it would need code from the file, or it is broken. "
            "Write it with torch.save(data, path), where data is a PyG Data that holds tensors, numbers and text only"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{path}: cannot be read as a torch file ({type(error).__name__}: {reason})") from error


def _trust_pyg_containers() -> None:
    """Let torch's safe loader build PyG's containers; PyG registers only some of the classes a ``Data`` consists of."""
    from torch_geometric.data import Data, HeteroData, data, storage

    containers = [Data, HeteroData, data.DataEdgeAttr, data.DataTensorAttr]
    storages = [storage.BaseStorage, storage.GlobalStorage, storage.NodeStorage, storage.EdgeStorage]
    torch.serialization.add_safe_globals([*containers, *storages])


def _parts(content: Any, path: Path) -> Mapping[str, Any]:
    from torch_geometric.data import Data

    parts = content.to_dict() if isinstance(content, Data) else content
    if not isinstance(parts, Mapping):
        raise DatasetError(
            f"{path}: expected one PyG Data (or a dict with x, edge_index, y), found {type(content).__name__}; "
            "of a PyG dataset, save its first graph: torch.save(dataset[0], path)"
        )
    missing = [name for name in ("x", "edge_index", "y") if not isinstance(parts.get(name), Tensor)]
    if missing:
        raise DatasetError(f"{path}: missing {', '.join(missing)} (as tensors); found {', '.join(map(str, parts))}")
    return parts


def _features(x: Tensor, path: Path) -> SparseRows:
    if x.dim() != 2:
        raise DatasetError(f"{path}: x must be [N, F], found shape {list(x.shape)}")
    if x.layout == torch.strided:
        return sparse_features(_array(x), path)
    return sparse_features(_scipy(x), path)


def _scipy(x: Tensor) -> Any:
    import scipy.sparse as sp

    entries = (x if x.layout == torch.sparse_coo else x.to_sparse_coo()).coalesce()
    return sp.coo_array((_array(entries.values()), tuple(entries.indices().numpy())), shape=tuple(x.shape))


def _array(tensor: Tensor) -> Any:
    """Return a numpy array; numpy has no bfloat16, which widens to float32 without loss."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def _edge_weight(parts: Mapping[str, Any]) -> Tensor | None:
    candidates = (parts.get("edge_weight"), parts.get("edge_attr"))
    flat = (x for x in candidates if isinstance(x, Tensor) and (x.dim() == 1 or x.shape[1:] == (1,)))
    weight = next(flat, None)
    return None if weight is None else weight.reshape(-1).to(torch.float32)
