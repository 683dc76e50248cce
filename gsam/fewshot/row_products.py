"""Products with a matrix of features and its transpose, a chunk of rows at a time: it need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gsam.graphs import MappedRows, SparseRows

#: rows of a chunk
CHUNK = 2**16


class RowProducts:
    """The matrix ``X`` ``[N, F]`` that a function of the rows makes of the features.

    Of features in memory the chunks are made once and kept; of :class:`~gsam.graphs.MappedRows` they are read and made
    anew for each product. The results are the same, bit for bit.

    Args:
        features: ``[N, F]``.
        transform: makes of a chunk of rows a scipy matrix of as many rows, each of its own row alone.
    """

    def __init__(self, features: SparseRows | MappedRows, transform: Callable[[SparseRows], Any]) -> None:
        self.shape, self.dtype = features.shape, features.dtype
        self._features, self._transform = features, transform
        self._kept = list(self._made()) if isinstance(features, SparseRows) else None

    def chunks(self) -> Iterator[Any]:
        """The chunks of the matrix, scipy sparse arrays."""
        return self._made() if self._kept is None else iter(self._kept)

    def __matmul__(self, dense: np.ndarray) -> np.ndarray:
        """``X @ dense``: ``[F, H]`` to ``[N, H]``."""
        return np.concatenate([chunk @ dense for chunk in self.chunks()])

    def adjoint(self, dense: np.ndarray) -> np.ndarray:
        """``X^T @ dense``: ``[N, H]`` to ``[F, H]``."""
        start, total = 0, np.zeros((self.shape[1], dense.shape[1]), dtype=dense.dtype)
        for chunk in self.chunks():
            stop = start + chunk.shape[0]
            total += chunk.T @ dense[start:stop]
            start = stop
        return total

    def _made(self) -> Iterator[Any]:
        return map(self._transform, self._features.chunks(CHUNK))
