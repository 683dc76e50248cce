from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gsam.datasets import DatasetError
from gsam.datasets.array_file import ArrayFile
from gsam.datasets.readers.csr_arrays import check_columns, read_adjacency, read_csr

GOOD = {
    "adj_data": np.array([1.0, 2.0, 3.0, 0.0]),
    "adj_indices": np.array([2, 0, 0, 1]),
    "adj_indptr": np.array([0, 1, 3, 4]),
    "adj_shape": np.array([3, 3]),
}


def opened(tmp_path: Path, **change: Any) -> ArrayFile:
    np.savez(tmp_path / "a.npz", **{key: value for key, value in (GOOD | change).items() if value is not None})
    return ArrayFile(tmp_path / "a.npz")


def test_rows_and_matrix_equal_scipy(tmp_path: Path) -> None:
    with opened(tmp_path) as arrays:
        csr = read_csr(arrays, "adj")
    assert csr.rows().tolist() == [0, 1, 1, 2]
    expected = sp.csr_matrix((GOOD["adj_data"], GOOD["adj_indices"], GOOD["adj_indptr"]), shape=(3, 3)).toarray()
    assert np.array_equal(csr.matrix().toarray(), expected)
    assert csr.matrix().nnz == 2  # 2 + 3 in one place, the zero dropped
    assert csr.matrix().dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adj_indptr": None}, "missing adj_indptr"),
        ({"adj_data": None, "adj_shape": None}, "missing adj_data, adj_shape"),
        ({"adj_indptr": np.array([0, 1, 4])}, r"adj_indptr must have 4 entries \(rows \+ 1\), found 3"),
        ({"adj_indptr": np.array([0, 3, 1, 4])}, "adj_indptr must not decrease"),
        ({"adj_indptr": np.array([0, 1, 3, 9])}, "runs from 0 to 9"),
        ({"adj_indptr": np.array([1, 1, 3, 4])}, "runs from 1 to 4"),
        ({"adj_indices": np.array([0.0, 1, 2, 0])}, "adj_indices must be a 1-D integer array"),
        ({"adj_data": np.array(["a", "b", "c", "d"])}, "adj_data must be a 1-D numeric array"),
        ({"adj_data": np.ones(3)}, r"adj_data \(3\)"),
        ({"adj_shape": np.array([3])}, "adj_shape must be two integers"),
    ],
)
def test_inconsistent_arrays_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with opened(tmp_path, **change) as arrays, pytest.raises(DatasetError, match=rf"a\.npz: .*{message}"):
        read_csr(arrays, "adj")


def test_columns_out_of_range_are_named(tmp_path: Path) -> None:
    with opened(tmp_path, adj_indices=np.array([2, 0, 7, 1])) as arrays:
        csr = read_csr(arrays, "adj")
        with pytest.raises(DatasetError, match="column 7 in row 1, expected 0 to 2"):
            check_columns(arrays, "adj", csr)


def test_adjacency_must_be_square_over_the_nodes(tmp_path: Path) -> None:
    with opened(tmp_path) as arrays:
        assert read_adjacency(arrays, 3).shape == (3, 3)
        with pytest.raises(DatasetError, match=r"the features describe 4 nodes, but adj_shape is \[3, 3\]"):
            read_adjacency(arrays, 4)
