from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gsam.datasets import DatasetError
from gsam.datasets.readers.safe_pickle import load_array_pickle


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_round_trip(protocol: int, tmp_path: Path) -> None:
    matrix = sp.csr_matrix(np.array([[0.0, 1.5], [2.0, 0.0]]))
    (tmp_path / "p").write_bytes(pickle.dumps((matrix, np.arange(3), {1: [2]}), protocol=protocol))
    loaded, array, graph = load_array_pickle(tmp_path / "p")
    assert np.array_equal(loaded.toarray(), matrix.toarray())
    assert np.array_equal(array, np.arange(3))
    assert graph == {1: [2]}


def test_code_is_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "p").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DatasetError, match=r"p: cannot be read as a pickle of arrays \(it asks for \w+\.mkdir"):
        load_array_pickle(tmp_path / "p")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(np.arange(100))[:50]])
def test_broken_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(DatasetError, match="p: cannot be read"):
        load_array_pickle(tmp_path / "p")
