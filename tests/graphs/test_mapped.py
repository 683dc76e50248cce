from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gsam.graphs import MappedRows, SparseRows


@pytest.fixture
def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.standard_normal((30, 7)).astype(np.float32)
    found[rng.random(found.shape) < 0.4] = 0.0
    found[4] = 0.0
    return found


@pytest.fixture
def mapped(tmp_path: Path, matrix: np.ndarray) -> MappedRows:
    np.save(tmp_path / "x.npy", matrix)
    return MappedRows(tmp_path / "x.npy")


def assert_same(found: SparseRows, expected: SparseRows) -> None:
    assert found.shape == expected.shape
    for part in ("rowptr", "col", "value"):
        assert getattr(found, part).dtype == getattr(expected, part).dtype
        assert torch.equal(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("index", [[3, 0, 3, 29, 4], [], [17]])
def test_rows_are_those_of_a_matrix_in_memory(mapped: MappedRows, matrix: np.ndarray, index: list[int]) -> None:
    nodes = torch.tensor(index, dtype=torch.long)
    assert_same(mapped.rows(nodes), SparseRows.from_dense(matrix).rows(nodes))
    assert_same(mapped.in_memory(), SparseRows.from_dense(matrix))
    assert (mapped.shape, len(mapped), mapped.dtype) == ((30, 7), 30, torch.float32)


@pytest.mark.parametrize("size", [1, 8, 30, 100])
def test_chunks_are_all_rows(mapped: MappedRows, matrix: np.ndarray, size: int) -> None:
    memory = SparseRows.from_dense(matrix)
    pairs = list(zip(mapped.chunks(size), memory.chunks(size), strict=True))
    assert len(pairs) == -(-30 // size)
    for found, expected in pairs:
        assert_same(found, expected)
    assert torch.equal(torch.cat([found.to_dense() for found, _ in pairs]), torch.from_numpy(matrix))


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.uint16, bool, ">f4"])
def test_other_numbers_are_converted(tmp_path: Path, kind: type | str) -> None:
    matrix = np.arange(12).reshape(4, 3).astype(kind)
    np.save(tmp_path / "x.npy", matrix)
    found = MappedRows(tmp_path / "x.npy")
    assert torch.equal(found.rows(torch.tensor([2, 1])).to_dense(), torch.from_numpy(matrix[[2, 1]].astype(np.float32)))
    wide = found.to(dtype=torch.float64)
    assert torch.equal(wide.in_memory().to_dense(), torch.from_numpy(matrix.astype(np.float64)))


def test_pages_are_given_back(mapped: MappedRows, matrix: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every read, if so told: the rows stay the same."""
    monkeypatch.setattr("gsam.graphs.mapped._RESIDENT", 1)
    for _ in range(3):
        assert torch.equal(mapped.rows(torch.arange(30)).to_dense(), torch.from_numpy(matrix))


MEASURE = """
import sys, numpy as np, torch
from gsam.graphs import MappedRows
def resident():
    return 1024 * int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
from gsam.graphs import mapped
mapped._RESIDENT = 2**25
rows = MappedRows(sys.argv[1])
generator = torch.Generator().manual_seed(0)
rows.rows(torch.arange(10))
before = resident()
for _ in range(200):
    found = rows.rows(torch.randint(len(rows), (200,), generator=generator))
for chunk in rows.chunks(4096):
    pass
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_stays_below_the_size_of_the_file(tmp_path: Path) -> None:
    """A file of 256 MiB (with holes, so that it costs no disk), of which every page is read: the peak grows by less."""
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(2**18, 256)).flush()
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 2**28
    assert int(done.stdout) < 0.4 * 2**28


def test_pickled_by_its_path(mapped: MappedRows, matrix: np.ndarray) -> None:
    content = pickle.dumps(mapped.to(dtype=torch.float64))
    assert len(content) < 600
    again = pickle.loads(content)
    assert again.dtype == torch.float64
    assert torch.equal(again.in_memory().to_dense(), torch.from_numpy(matrix).double())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_when_read(tmp_path: Path, matrix: np.ndarray, value: float) -> None:
    matrix[5, 2] = value
    np.save(tmp_path / "x.npy", matrix)
    mapped = MappedRows(tmp_path / "x.npy")
    mapped.rows(torch.tensor([4, 6]))
    for read in (lambda: mapped.rows(torch.tensor([9, 5])), mapped.in_memory, lambda: list(mapped.chunks(4))):
        with pytest.raises(ValueError, match=r"x\.npy: features must be finite, found .* at row 5, column 2"):
            read()


def test_overflow_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[1.0, 1e300]]))
    with pytest.raises(ValueError, match="found inf at row 0, column 1"):
        MappedRows(tmp_path / "x.npy").in_memory()


def test_indices_out_of_range_are_refused(mapped: MappedRows) -> None:
    for wrong in (30, -1):
        with pytest.raises(IndexError, match=r"\[0, 30\)"):
            mapped.rows(torch.tensor([wrong]))
    with pytest.raises(TypeError, match="integers"):
        mapped.rows(torch.ones(30, dtype=torch.bool))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), "expected numbers"),
        (np.asfortranarray(np.ones((3, 4))), "Fortran order"),
        (np.array([["a"]]), "expected numbers"),
        (np.array([[{}]], dtype=object), "to map"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        MappedRows(tmp_path / "x.npy")


def test_missing_files_archives_and_dtypes(tmp_path: Path, mapped: MappedRows) -> None:
    with pytest.raises(ValueError, match="to map, found"):
        MappedRows(tmp_path / "none.npy")
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="an archive"):
        MappedRows(tmp_path / "x.npz")
    with pytest.raises(TypeError, match=r"float32 or torch\.float64"):
        mapped.to(dtype=torch.float16)
