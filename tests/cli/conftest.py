"""A tiny data set in the gnn-benchmark layout, and the command run in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from gsam.cli.app import main
from tests.cli.kg_runs import QUICK as QUICK_KG
from tests.cli.kg_runs import Command, write_folder

Arrays = dict[str, np.ndarray]


def tiny_arrays(nodes: int = 180, classes: int = 9, features: int = 30) -> Arrays:
    """Nine classes whose nodes share words and edges, so that there is something to learn."""
    rng = np.random.default_rng(0)
    labels = np.arange(nodes) % classes
    words = rng.random((nodes, features)) < np.where(np.arange(features) % classes == labels[:, None], 0.6, 0.05)
    same = labels[:, None] == labels
    edges = np.triu(rng.random((nodes, nodes)) < np.where(same, 0.2, 0.01), 1)
    arrays: Arrays = {"labels": labels}
    for name, matrix in (("adj", sp.csr_matrix(edges.astype(np.float32))), ("attr", sp.csr_matrix(words * 1.0))):
        arrays |= {f"{name}_data": matrix.data, f"{name}_indices": matrix.indices, f"{name}_indptr": matrix.indptr}
        arrays[f"{name}_shape"] = np.array(matrix.shape)
    return arrays


@pytest.fixture
def arrays() -> Arrays:
    return tiny_arrays()


@pytest.fixture
def tiny(tmp_path: Path, arrays: Arrays) -> Path:
    path = tmp_path / "tiny.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def gsam() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gsam", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **environment},
        )

    return run


QUICK = ("--ways", "2", "--split", "3,3,3", "--episodes", "10", "--test-episodes", "5", "--validation-episodes", "3")


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Options that make a run short; each class has 20 nodes."""
    return QUICK


@pytest.fixture
def inside(capsys: pytest.CaptureFixture[str]) -> Command:
    """``gsam`` in this process, which has loaded PyTorch Geometric already."""

    def run(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        shown = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code, stdout=shown.out, stderr=shown.err)

    return run


@pytest.fixture
def kg(inside: Command) -> Command:
    """``gsam kg`` in this process."""
    return partial(inside, "kg")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "toy")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, from a process of its own."""
    place = tmp_path_factory.mktemp("kg")
    command = [sys.executable, "-m", "gsam", "kg", "train", "--dataset", write_folder(place / "toy"), *QUICK_KG]
    done = subprocess.run([*command, "--out", place / "run"], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "test MRR" in done.stderr
    for words in ("standard protocol", "hybonet protocol", "N-N relations", "Hits@10", "results.json"):
        assert words in done.stdout
    return place / "run"
