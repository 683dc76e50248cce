"""The ``PREFIX_data / _indices / _indptr / _shape`` quadruple of the gnn-benchmark layout."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from gsam.datasets.array_file import Array, ArrayFile
from gsam.datasets.errors import DatasetError

PARTS = ("data", "indices", "indptr", "shape")


class CsrArrays(NamedTuple):
    """A compressed sparse matrix as stored: int64 ``indptr`` [rows + 1], int64 ``indices`` [nnz], ``data`` [nnz]."""

    data: Array
    indices: NDArray[np.int64]
    indptr: NDArray[np.int64]
    shape: tuple[int, int]

    def rows(self) -> NDArray[np.int64]:
        """Return the row of each entry, int64 [nnz]."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int64), np.diff(self.indptr))

    def matrix(self) -> sp.csr_matrix:
        """Return a scipy matrix with float32 values, sorted columns, duplicates summed and zeros dropped."""
        with np.errstate(over="ignore"):  # an overflow becomes inf, which the reader reports
            values = self.data.astype(np.float32)
        matrix = sp.csr_matrix((values, self.indices, self.indptr), shape=self.shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix


def read_csr(arrays: ArrayFile, prefix: str) -> CsrArrays:
    """Read and check one compressed matrix; column indices are not checked against the shape.

    Raises:
        DatasetError: Missing arrays or an inconsistent structure, with the name of the array.
    """
    keys = [f"{prefix}_{part}" for part in PARTS]
    arrays.require(*keys)
    data, indices, indptr, shape = (arrays[key] for key in keys)
    if shape.shape != (2,) or not np.issubdtype(shape.dtype, np.integer):
        raise DatasetError(f"{arrays.path}: {prefix}_shape must be two integers, found {shape.tolist()}")
    for key, values in zip(keys[1:3], (indices, indptr), strict=True):
        if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
            raise DatasetError(f"{arrays.path}: {key} must be a 1-D integer array, found {values.dtype}{values.shape}")
    if data.ndim != 1 or data.dtype.kind not in "biuf":
        raise DatasetError(f"{arrays.path}: {prefix}_data must be a 1-D numeric array, found {data.dtype}{data.shape}")
    _check_pointers(arrays, prefix, data, indices, indptr, int(shape[0]))
    rows, columns = (int(size) for size in shape)
    return CsrArrays(data, indices.astype(np.int64), indptr.astype(np.int64), (rows, columns))


def _check_pointers(arrays: ArrayFile, prefix: str, data: Array, indices: Array, indptr: Array, rows: int) -> None:
    if len(indptr) != rows + 1:
        raise DatasetError(
            f"{arrays.path}: {prefix}_indptr must have {rows + 1} entries (rows + 1), found {len(indptr)}"
        )
    if len(data) != len(indices) or indptr[0] != 0 or indptr[-1] != len(indices):
        raise DatasetError(
            f"{arrays.path}: {prefix}_indptr runs from {indptr[0]} to {indptr[-1]}, expected 0 to the length of "
            f"{prefix}_indices ({len(indices)}) and {prefix}_data ({len(data)})"
        )
    if (np.diff(indptr) < 0).any():
        raise DatasetError(f"{arrays.path}: {prefix}_indptr must not decrease")


def check_columns(arrays: ArrayFile, prefix: str, csr: CsrArrays) -> None:
    """Check column indices against the shape.

    Raises:
        DatasetError: The first index out of range, with its row.
    """
    bad = (csr.indices < 0) | (csr.indices >= csr.shape[1])
    if bad.any():
        at = int(np.argmax(bad))
        raise DatasetError(
            f"{arrays.path}: {prefix}_indices names column {csr.indices[at]} in row {csr.rows()[at]}, "
            f"expected 0 to {csr.shape[1] - 1}"
        )


def read_adjacency(arrays: ArrayFile, num_nodes: int) -> CsrArrays:
    """Read the adjacency matrix; that its edges end at nodes is checked later.

    Raises:
        DatasetError: As :func:`read_csr`, or a shape other than N x N.
    """
    csr = read_csr(arrays, "adj")
    if csr.shape != (num_nodes, num_nodes):
        raise DatasetError(
            f"{arrays.path}: the features describe {num_nodes} nodes, but adj_shape is {list(csr.shape)}; "
            f"expected [{num_nodes}, {num_nodes}]"
        )
    return csr
