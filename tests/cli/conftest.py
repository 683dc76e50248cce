"""A tiny data set in the gnn-benchmark layout, and the command run in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

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
