from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gsam.fewshot.row_products import RowProducts
from gsam.graphs import MappedRows, SparseRows


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_products_are_those_of_the_whole_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """For any size of the chunks, and with the same bits from memory and from a file."""
    monkeypatch.setattr("gsam.graphs.mapped.rows_of_a_chunk", lambda _: size)
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((64, 9)) * (rng.random((64, 9)) < 0.5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    right, left = rng.standard_normal((9, 4)).astype(np.float32), rng.standard_normal((64, 4)).astype(np.float32)
    seen = []
    memory, stored = (
        RowProducts(features, lambda chunk: seen.append(len(chunk)) or 2 * chunk.to_scipy())
        for features in (SparseRows.from_dense(x), MappedRows(tmp_path / "x.npy"))
    )
    assert seen == [64], "those in memory are made once, those of a file when they are needed"
    assert np.array_equal(memory @ right, stored @ right)
    assert np.array_equal(memory.adjoint(left), stored.adjoint(left))
    assert len(seen) == 1 + 2 * -(-64 // size)
    np.testing.assert_allclose(stored @ right, 2 * x.astype(np.float64) @ right, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stored.adjoint(left), 2 * x.T.astype(np.float64) @ left, rtol=1e-4, atol=1e-5)
    assert (memory.shape, memory.dtype) == (stored.shape, stored.dtype)
