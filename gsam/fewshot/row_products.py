"""Products with a matrix of features and its transpose, a chunk of rows at a time: it need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gsam.graphs import MappedRows, SparseRows


class RowProducts:
    """The matrix ``X`` ``[N, F]`` that a function of the rows makes of the features.

    Of features in memory all rows are one chunk, made once and kept; of :class:`~gsam.graphs.MappedRows` they are read
    and made anew for each product. The results are the same, bit for bit, whatever the chunks are.

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
        import scipy.sparse as sp

        start, total = 0, None
        for chunk in self.chunks():
            stop = start + chunk.shape[0]
            rows, factor = chunk, dense[start:stop]
            if total is not None:  # go on adding to it in the order of the rows, as if there were one chunk
                rows = sp.vstack([sp.eye_array(self.shape[1], dtype=chunk.dtype), chunk], format="csr")
                factor = np.concatenate([total, factor])
            total, start = rows.T @ factor, stop
        return np.zeros((self.shape[1], dense.shape[1]), dense.dtype) if total is None else total

    def _made(self) -> Iterator[Any]:
        features = self._features
        return map(self._transform, [features] if isinstance(features, SparseRows) else features.chunks())
