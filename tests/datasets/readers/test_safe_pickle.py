from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from gsam.datasets import DatasetError
from gsam.datasets.readers.safe_pickle import load_array_pickle, load_torch_arrays


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


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_that_torch_saved(zipped: bool, protocol: int, tmp_path: Path) -> None:
    saved = {
        "head": np.arange(5),
        "head_type": ["drug", "drug", "gene"],
        "head_neg": np.arange(6, dtype=np.int32).reshape(2, 3)[:, ::-1],
        "none": np.empty((0, 3)),
    }
    torch.save(saved, tmp_path / "p", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    loaded = load_torch_arrays(tmp_path / "p")
    assert list(loaded) == list(saved)
    assert loaded["head_type"] == saved["head_type"]
    for name in ("head", "head_neg", "none"):
        assert loaded[name].dtype == saved[name].dtype  # type: ignore[union-attr]
        assert np.array_equal(loaded[name], saved[name])
    assert loaded["head"].flags.writeable


@pytest.mark.parametrize("zipped", [True, False])
def test_saved_code_and_tensors_are_refused(zipped: bool, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    for content, reason in ((Bomb(), r"it asks for \w+\.mkdir"), ({"head": torch.arange(3)}, "it ")):
        torch.save(content, tmp_path / "p", _use_new_zipfile_serialization=zipped)
        with pytest.raises(DatasetError, match=rf"p: cannot be read as saved arrays \({reason}"):
            load_torch_arrays(tmp_path / "p")
    assert not (tmp_path / "ran").exists()


def test_broken_saves(tmp_path: Path) -> None:
    torch.save({"head": np.arange(1000)}, tmp_path / "good")
    whole = (tmp_path / "good").read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("other", "x")
    for content in (b"", b"hello", whole[: len(whole) // 2], archive.getvalue(), pickle.dumps(np.arange(3))):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(DatasetError, match=r"p: cannot be read as saved arrays .*get a fresh copy"):
            load_torch_arrays(tmp_path / "p")
