"""Edge lists in the canonical forms of PyTorch Geometric, computed in numpy: sorted, each edge once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsam.datasets.errors import DatasetError

Integers = NDArray[np.int64]


def check_ends(source: Integers, target: Integers, num_nodes: int, where: object) -> None:
    """Check that every edge joins two of the nodes 0..N-1.

    Raises:
        DatasetError: The first edge that does not, with the file ``where`` it was found.
    """
    bad = (source < 0) | (source >= num_nodes) | (target < 0) | (target >= num_nodes)
    if bad.any():
        at = int(np.argmax(bad))
        raise DatasetError(
            f"{where}: edge {at} ({source[at]} -> {target[at]}) names a node that does not exist: "
            f"nodes are 0 to {num_nodes - 1}"
        )


def coalesced(source: Integers, target: Integers, num_nodes: int, *, by_target: bool = False) -> Tensor:
    """Return int64 [2, E'] with duplicates dropped, sorted by source then target (or by target then source).

    Equals ``torch_geometric.utils.coalesce`` (``sort_by_row=not by_target``).
    """
    major, minor = (target, source) if by_target else (source, target)
    key = np.sort(major.astype(np.int64) * num_nodes + minor.astype(np.int64))
    first = np.diff(key, prepend=-1) > 0
    major, minor = np.divmod(key[first], num_nodes)
    rows = (minor, major) if by_target else (major, minor)
    return torch.from_numpy(np.stack(rows))


def undirected(source: Integers, target: Integers, num_nodes: int) -> Tensor:
    """Return every edge in both directions, once each. Equals ``torch_geometric.utils.to_undirected``."""
    return coalesced(np.concatenate([source, target]), np.concatenate([target, source]), num_nodes)


def without_self_loops(source: Integers, target: Integers) -> tuple[Integers, Integers]:
    """Return the edges whose ends differ, in their order."""
    keep = source != target
    return source[keep], target[keep]
