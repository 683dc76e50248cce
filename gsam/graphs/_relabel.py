"""Local numbers for the nodes that a block touches, at a cost that depends on those nodes only."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor


class Relabel:
    """Numbers targets first, then the sources that are not targets.

    On CPU it keeps one label per node of the graph between calls, and afterwards clears only what it wrote; each
    thread has labels of its own, so calls from several threads do not meet. Elsewhere it sorts.

    Args:
        num_nodes: N.
    """

    def __init__(self, num_nodes: int) -> None:
        self._num_nodes = num_nodes
        self._own = threading.local()

    def __reduce__(self) -> tuple[type[Relabel], tuple[int]]:
        return Relabel, (self._num_nodes,)

    def __call__(self, targets: Tensor, rowptr: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
        """The nodes of a block and its sources in local numbers.

        Args:
            targets: ``[T]`` nodes, repeats allowed, in the dtype of ``sources``.
            rowptr: ``[T + 1]``, where the sources of each target start.
            sources: ``[e]`` nodes.

        Returns:
            ``nodes`` ``[n]``, beginning with ``targets``, and ``local`` ``[e]`` with ``nodes[local] == sources``. Of
            the copies of a repeated target, each is the source of its own self-loops.
        """
        if sources.device.type != "cpu":
            return relabel_by_sorting(targets, rowptr, sources)
        labels = getattr(self._own, "labels", None)
        if labels is None:
            labels = np.full(self._num_nodes, -1, dtype=np.int32 if self._num_nodes < 2**31 else np.int64)
        self._own.labels = None  # an interrupted call must not leave its labels to the next one
        nodes, local = _relabel_with(labels, targets.numpy(), rowptr.numpy(), sources.numpy())
        self._own.labels = labels
        return torch.from_numpy(nodes), torch.from_numpy(local)


def _relabel_with(
    labels: np.ndarray, targets: np.ndarray, rowptr: np.ndarray, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``labels`` ``[N]`` is -1 everywhere, before and after."""
    count = targets.size
    own = np.arange(count, dtype=labels.dtype)
    labels[targets] = own
    repeated = bool((labels[targets] != own).any())
    new = sources[labels[sources] < 0]
    # of the repeats of a new node keep the one whose position stayed written
    position = np.arange(new.size, dtype=labels.dtype)
    labels[new] = position
    new = new[labels[new] == position]
    labels[new] = np.arange(count, count + new.size, dtype=labels.dtype)
    local = labels[sources]
    nodes = np.concatenate([targets, new])
    labels[nodes] = -1
    if repeated:
        row = np.repeat(own, np.diff(rowptr))
        local = np.where(targets[row] == sources, row, local)
    return nodes, local


def relabel_by_sorting(targets: Tensor, rowptr: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """What :class:`Relabel` returns (new nodes in another order), without labels of the size of the graph."""
    count = targets.numel()
    unique, inverse = torch.unique(torch.cat([targets, sources]), return_inverse=True)
    own = torch.arange(count, device=targets.device, dtype=targets.dtype)
    labels = torch.full_like(unique, -1)
    labels[inverse[:count]] = own
    is_new = labels < 0
    # new nodes are numbered on from the targets, in sorted order
    labels = torch.where(is_new, count - 1 + is_new.cumsum(0, dtype=labels.dtype), labels)
    row = torch.repeat_interleave(own, rowptr.diff(), output_size=sources.numel())
    local = torch.where(targets[row] == sources, row, labels[inverse[count:]])
    return torch.cat([targets, unique[is_new]]), local
