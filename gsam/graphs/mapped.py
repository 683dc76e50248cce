"""Features that stay in their file: only the rows that are asked for are read."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsam.graphs._csr import CSR, as_index, index_dtype
from gsam.graphs.sparse import SparseRows, check_value_dtype, rows_of_a_chunk

_RESIDENT = 2**28  # bytes of the file that are kept mapped
_AROUND = 2**16  # bytes that the kernel maps around one that is read


class MappedRows:
    """An ``[N, F]`` matrix of features in a ``.npy`` file that may be larger than memory.

    The file is mapped, not read. :meth:`rows` gives the rows that are asked for as :class:`SparseRows`, the very rows
    that a matrix in memory would give; pages that were read are given back every 256 MiB. The file must not change
    meanwhile.

    Args:
        path: a file that :func:`numpy.save` or :func:`numpy.lib.format.open_memmap` wrote: numbers ``[N, F]``, in C
            order. What is read is converted to ``dtype``.
        device: where rows go.
        dtype: of the values, float32 or float64.

    Raises:
        ValueError: if the file is missing or holds something else.
        TypeError: if ``dtype`` is neither float32 nor float64.
    """

    def __init__(
        self, path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        check_value_dtype(dtype)
        self.path, self.device, self.dtype = Path(path), torch.device(device), dtype
        mapped = _mapped(self.path)
        self._array, self._pages = mapped.view(np.ndarray), mapped.base
        self._touched = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.path, self.device, self.dtype)  # by its file, not with its content

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, F)``."""
        return self._array.shape[0], self._array.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, index: Tensor) -> SparseRows:
        """The ``[B, F]`` matrix of the rows ``index`` ``[B]``, in that order, repeats included.

        Raises:
            IndexError: if an index is outside ``[0, N)``.
            TypeError: if ``index`` does not hold integers.
            ValueError: if a value is NaN or infinite; the message says where.
        """
        ids = as_index(index, len(self), torch.device("cpu")).numpy()
        found = self._sparse(self._array[ids], ids)
        self._read(ids.size * (self._array.strides[0] + _AROUND))
        return found

    def chunks(self, size: int | None = None) -> Iterator[SparseRows]:
        """All rows, ``size`` at a time; by default so many that they take tens of megabytes if they are dense."""
        size = size or rows_of_a_chunk(self.shape[1])
        for start in range(0, len(self), size):
            part = self._array[start : start + size]
            yield self._sparse(part, np.arange(start, start + len(part)))
            self._read(part.nbytes)

    def in_memory(self) -> SparseRows:
        """All rows, read into memory."""
        return self._sparse(self._array, np.arange(len(self)))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> MappedRows:
        """The same file, whose rows go to another device or have another dtype."""
        return MappedRows(self.path, device=device or self.device, dtype=dtype or self.dtype)

    def _sparse(self, part: np.ndarray, ids: np.ndarray) -> SparseRows:
        with np.errstate(over="ignore"):  # an overflow becomes inf, which is reported below
            dense = part.astype(str(self.dtype).removeprefix("torch."), copy=False)
        there = dense != 0  # NaN is
        row, col = there.nonzero()
        value = dense[there]
        bad = ~np.isfinite(value)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(
                f"{self.path}: features must be finite, found {value[at]} at row {ids[row[at]]}, column {col[at]}"
            )
        rowptr = np.zeros(len(dense) + 1, dtype=np.int64)
        np.cumsum(there.sum(axis=1), out=rowptr[1:])
        kind = index_dtype(value.size, *dense.shape)
        parts = (torch.from_numpy(rowptr).to(kind), torch.from_numpy(col).to(kind), torch.from_numpy(value))
        return SparseRows._wrap(CSR(*parts, (len(dense), self.shape[1])).to(self.device))

    def _read(self, size: int) -> None:
        """Give the pages back once enough were read; the system would, but only when it is short of memory."""
        self._touched += size
        if self._touched >= _RESIDENT and isinstance(self._pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def __repr__(self) -> str:
        return f"MappedRows({str(self.path)!r}, shape={self.shape}, dtype={self.dtype}, device='{self.device}')"


def _opened(path: Path, device: torch.device, dtype: torch.dtype) -> MappedRows:
    return MappedRows(path, device=device, dtype=dtype)


def _mapped(path: Path) -> np.memmap[Any, Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a .npy file of numbers [N, F] to map, found {error}") from error
    if not isinstance(array, np.memmap):
        raise ValueError(f"{path}: expected a .npy file, found an archive; write features with numpy.save")
    if array.ndim != 2 or array.dtype.kind not in "biuf" or not array.flags.c_contiguous:
        found = f"{array.dtype}{array.shape}{'' if array.flags.c_contiguous else ', in Fortran order'}"
        raise ValueError(f"{path}: expected numbers [N, F] in C order, found {found}; write them with numpy.save")
    return array
