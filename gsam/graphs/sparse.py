"""Sparse feature matrices: bags of words and their propagated versions, by rows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from gsam.graphs._csr import CSR, as_index, from_parts, index_dtype

_VALUE_DTYPES = (torch.float32, torch.float64)
_CHUNK_VALUES = 2**22


class SparseRows:
    """An immutable ``[N, F]`` matrix of features, stored by rows, that multiplies dense weights.

    Columns are sorted within each row and occur once. Indices are int32 where the sizes allow it, so a value costs
    8 bytes in float32. The features are constants: products are differentiable in the dense factor only.

    The transpose that a backward pass needs is computed at the first one and kept with the matrix, so a second pass
    over the same rows (sharpness-aware training) does not pay for it again.

    Args:
        rowptr: ``[N + 1]`` integers, where each row starts in ``col`` and ``value``; from 0 to nnz, never decreasing.
        col: ``[nnz]`` integers in ``[0, F)``, increasing within each row.
        value: ``[nnz]`` finite numbers, float32 or float64, on the device of the other two.
        shape: ``(N, F)``.

    Raises:
        TypeError: if ``value`` is neither float32 nor float64.
        ValueError: if the parts do not form such a matrix, or a value is NaN or infinite.

    Example:
        >>> rows = SparseRows.from_dense(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        >>> rows.rows(torch.tensor([1, 1])) @ torch.eye(2)
        tensor([[1., 0.],
                [1., 0.]])
    """

    def __init__(self, rowptr: Tensor, col: Tensor, value: Tensor, shape: tuple[int, int]) -> None:
        _check_parts(rowptr, col, value, shape)
        dtype = index_dtype(col.numel(), *shape)
        self._csr = CSR(rowptr.to(dtype), col.to(dtype), value.detach(), (int(shape[0]), int(shape[1])))

    @classmethod
    def _wrap(cls, csr: CSR) -> SparseRows:
        """Takes over parts that are known to be in order."""
        rows = cls.__new__(cls)
        rows._csr = csr
        return rows

    @classmethod
    def from_scipy(cls, matrix: Any, *, dtype: torch.dtype = torch.float32) -> SparseRows:
        """A copy of a scipy sparse matrix or array of any format; duplicates are added up, explicit zeros dropped."""
        csr = sp.csr_array(matrix, dtype=_numpy_dtype(dtype), copy=True)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        _check_finite(csr.data)
        return cls._wrap(from_parts(csr.indptr, csr.indices, csr.data, csr.shape))

    @classmethod
    def from_dense(cls, matrix: Tensor | np.ndarray) -> SparseRows:
        """The nonzero entries of a dense ``[N, F]`` tensor or array, on its device and in its dtype.

        Raises:
            ValueError: if ``matrix`` is not two-dimensional, or a value is NaN or infinite.
        """
        dense = torch.as_tensor(matrix).detach()
        if dense.dim() != 2:
            raise ValueError(f"expected a matrix of features [N, F], found shape {tuple(dense.shape)}")
        dense = dense if dense.dtype in _VALUE_DTYPES else dense.to(torch.float32)
        row, col = dense.nonzero(as_tuple=True)
        counts = torch.bincount(row, minlength=dense.shape[0])
        rowptr = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        return cls(rowptr, col, dense[row, col], (dense.shape[0], dense.shape[1]))

    def to_scipy(self) -> sp.csr_array:
        """The matrix as a scipy array; on CPU it shares memory with this one, so do not write to it."""
        csr = self._csr.to("cpu")
        return sp.csr_array((csr.value.numpy(), csr.col.numpy(), csr.rowptr.numpy()), shape=self.shape)

    def to_dense(self) -> Tensor:
        """The matrix as a dense ``[N, F]`` tensor."""
        dense = self.value.new_zeros(self.shape)
        dense[self._csr.row_of_entry().long(), self.col.long()] = self.value
        return dense

    def rows(self, index: Tensor) -> SparseRows:
        """The ``[B, F]`` matrix of the rows ``index`` ``[B]``, in that order, repeats included.

        Raises:
            IndexError: if an index is outside ``[0, N)`` (on CPU; CUDA reports it as a device assertion).
            TypeError: if ``index`` does not hold integers.
        """
        return SparseRows._wrap(self._csr.gather(as_index(index, self.shape[0], self.device)))

    def chunks(self, size: int | None = None) -> Iterator[SparseRows]:
        """All rows, ``size`` at a time; by default so many that they take tens of megabytes if they are dense."""
        size = size or rows_of_a_chunk(self.shape[1])
        for start in range(0, len(self), size):
            yield self.rows(torch.arange(start, min(start + size, len(self)), device=self.device))

    def in_memory(self) -> SparseRows:
        """The matrix itself; :class:`MappedRows` are read."""
        return self

    def matmul(self, weight: Tensor) -> Tensor:
        """``X @ weight``: ``[F, H]`` to ``[N, H]``, computed in the dtype of ``weight`` and differentiable in it.

        Raises:
            ValueError: if ``weight`` is not ``[F, H]``.
        """
        if weight.dim() != 2 or weight.shape[0] != self.shape[1]:
            raise ValueError(f"expected a weight of shape [{self.shape[1]}, H], found {list(weight.shape)}")
        return self._csr.matmul(weight)

    __matmul__ = matmul

    def adjoint(self, h: Tensor) -> Tensor:
        """``X^T @ h``: ``[N, H]`` to ``[F, H]``, computed in the dtype of ``h`` and differentiable in it.

        Raises:
            ValueError: if ``h`` is not ``[N, H]``.
        """
        if h.dim() != 2 or h.shape[0] != self.shape[0]:
            raise ValueError(f"expected one row per node, [{self.shape[0]}, H]; found shape {list(h.shape)}")
        return self._csr.adjoint(h)

    @cached_property
    def gram(self) -> Tensor:
        """``X X^T``: ``[N, N]``, for few rows (it takes a dense copy of them); computed once and kept."""
        # one pass over the entries with long dense rows is three times faster than a sparse product
        return self @ self._dense_columns()

    def weighted_gram(self, weight: Tensor) -> Tensor:
        """``X diag(weight) X^T``, for few rows: ``[F]`` to ``[N, N]``, differentiable in ``weight``."""
        return self @ (weight.unsqueeze(1) * self._dense_columns())

    def _dense_columns(self) -> Tensor:
        """``X^T``, dense: ``[F, N]``."""
        dense = self.value.new_zeros(self.shape[1], self.shape[0])
        dense[self.col.long(), self._csr.row_of_entry().long()] = self.value
        return dense

    def square(self) -> SparseRows:
        """The matrix of the squared values."""
        csr = self._csr
        return SparseRows._wrap(CSR(csr.rowptr, csr.col, csr.value.square(), csr.shape))

    def l1_normalized_rows(self) -> SparseRows:
        """Each row divided by the sum of its absolute values; rows of zeros stay as they are."""
        csr = self._csr
        ones = csr.value.new_ones(self.shape[1], 1)
        norm = CSR(csr.rowptr, csr.col, csr.value.abs(), csr.shape).matmul(ones).squeeze(1)
        value = csr.value / norm[csr.row_of_entry().long()]
        # only explicit zeros can meet a norm of zero
        return SparseRows._wrap(CSR(csr.rowptr, csr.col, value.nan_to_num(0.0), csr.shape))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SparseRows:
        """The same matrix on another device or in another dtype (float32 or float64)."""
        if dtype is not None:
            check_value_dtype(dtype)
        return SparseRows._wrap(self._csr.to(device, dtype))

    @property
    def rowptr(self) -> Tensor:
        """Start of each row ``[N + 1]``."""
        return self._csr.rowptr

    @property
    def col(self) -> Tensor:
        """Column of each entry ``[nnz]``."""
        return self._csr.col

    @property
    def value(self) -> Tensor:
        """Value of each entry ``[nnz]``."""
        return self._csr.value

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return self._csr.shape

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return self.col.numel()

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the values."""
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.value.device

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SparseRows(shape={self.shape}, nnz={self.nnz}, dtype={self.dtype}, device='{self.device}')"


def rows_of_a_chunk(num_features: int) -> int:
    """How many dense rows to hold at a time."""
    return max(1, _CHUNK_VALUES // max(1, num_features))


def sparse_product(matrix: CSR, features: SparseRows) -> SparseRows:
    """``A @ X``: ``[M, N]`` times ``[N, F]``, multiplied on the CPU in the dtype of ``X``; on its device.

    A row of the result depends on its own entries alone, to the last bit: it is the same for any choice of other rows.
    """
    product = matrix.to("cpu", features.dtype).view @ features.to_scipy()
    product.sort_indices()
    csr = from_parts(product.indptr, product.indices, product.data, product.shape)
    return SparseRows._wrap(csr.to(features.device))


def check_value_dtype(dtype: torch.dtype) -> None:
    """Raises TypeError unless values may have this dtype."""
    if dtype not in _VALUE_DTYPES:
        raise TypeError(f"sparse features are torch.float32 or torch.float64, found {dtype}; convert them first")


def _numpy_dtype(dtype: torch.dtype) -> type:
    check_value_dtype(dtype)
    return np.float32 if dtype == torch.float32 else np.float64


def _check_finite(values: Any) -> None:
    finite = np.isfinite(values) if isinstance(values, np.ndarray) else values.isfinite()
    if not finite.all():
        raise ValueError(
            f"features must be finite, found {int((~finite).sum())} NaN or infinite values; clean them first"
        )


def _check_parts(rowptr: Tensor, col: Tensor, value: Tensor, shape: tuple[int, int]) -> None:
    check_value_dtype(value.dtype)
    n, f = shape
    if rowptr.shape != (n + 1,) or col.shape != value.shape or col.dim() != 1:
        found = f"rowptr {list(rowptr.shape)}, col {list(col.shape)}, value {list(value.shape)}"
        raise ValueError(f"expected rowptr [{n + 1}] and equally long col and value [nnz], found {found}")
    counts = rowptr.diff()
    if rowptr[0] != 0 or rowptr[-1] != col.numel() or (counts < 0).any():
        raise ValueError(
            f"rowptr must rise from 0 to nnz = {col.numel()}, one step per row; found {rowptr.tolist()[:8]}..."
        )
    if col.numel() and (col.min() < 0 or col.max() >= f):
        raise ValueError(f"columns must be in [0, {f}), found {int(col.min())} to {int(col.max())}")
    row = torch.repeat_interleave(torch.arange(n, device=col.device), counts.long())
    if ((col.diff() <= 0) & (row.diff() == 0)).any():
        raise ValueError("columns must increase within each row; build unsorted or repeated ones with from_scipy")
    _check_finite(value)
