"""Data with something wrong, through the command: handled, or refused in one line before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from gsam.cli.app import main
from tests.cli.conftest import QUICK, Arrays

FEWSHOT = ("fewshot", "run", *QUICK, "--optimizer", "fgsam+")
NODES = ("nodes", "run", "--split", "random", "--epochs", "6", "--optimizer", "fgsam")
COMMANDS = {"fewshot": FEWSHOT, "nodes": NODES}


def nan_row(arrays: Arrays) -> None:
    arrays["attr_data"] = arrays["attr_data"].copy()
    arrays["attr_data"][arrays["attr_indptr"][7] : arrays["attr_indptr"][8]] = np.nan


def label_out_of_range(arrays: Arrays) -> None:
    arrays["labels"] = np.where(np.arange(len(arrays["labels"])) == 5, -3, arrays["labels"])


def missing_label(arrays: Arrays) -> None:
    arrays["labels"] = np.where(np.arange(len(arrays["labels"])) == 5, -1, arrays["labels"])


def too_few_labels(arrays: Arrays) -> None:
    arrays["labels"] = arrays["labels"][:-1]


def one_class(arrays: Arrays) -> None:
    arrays["labels"] = np.zeros_like(arrays["labels"])


def edge_to_nowhere(arrays: Arrays) -> None:
    arrays["adj_indices"] = np.where(np.arange(len(arrays["adj_indices"])) == 0, 9999, arrays["adj_indices"])


def no_edges(arrays: Arrays) -> None:
    empty = sp.csr_matrix(tuple(arrays["adj_shape"]), dtype=np.float32)
    arrays.update(adj_data=empty.data, adj_indices=empty.indices, adj_indptr=empty.indptr)


def lone_nodes(arrays: Arrays) -> None:
    """A third of the nodes loses all edges."""
    kept = np.arange(len(arrays["labels"])) % 3 != 0
    parts = (arrays["adj_data"], arrays["adj_indices"], arrays["adj_indptr"])
    adjacency = sp.diags(kept * 1.0) @ sp.csr_matrix(parts, shape=tuple(arrays["adj_shape"])) @ sp.diags(kept * 1.0)
    adjacency = sp.csr_matrix(adjacency.astype(np.float32))
    adjacency.eliminate_zeros()
    arrays.update(adj_data=adjacency.data, adj_indices=adjacency.indices, adj_indptr=adjacency.indptr)


def run(arrays: Arrays, place: Path, command: tuple[str, ...], capsys: Any) -> SimpleNamespace:
    np.savez(place / "data.npz", **arrays)
    with pytest.raises(SystemExit) as end:
        main([*command, "--dataset", str(place / "data.npz"), "--out", str(place / "out"), "--quiet"])
    shown = capsys.readouterr()
    return SimpleNamespace(code=end.value.code, err=shown.err, out=place / "out")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (nan_row, "feature"),
        (label_out_of_range, "label -3 of node 5"),
        (too_few_labels, "label"),
        (edge_to_nowhere, "9999"),
        (one_class, "class"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_refused_in_one_line(
    arrays: Arrays, tmp_path: Path, capsys: Any, name: str, spoil: Callable[[Arrays], None], words: str
) -> None:
    spoil(arrays)
    done = run(arrays, tmp_path, COMMANDS[name], capsys)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert done.err.startswith("gsam: ")
    assert words in done.err
    assert not done.out.exists()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("spoil", [lone_nodes, no_edges, missing_label], ids=lambda value: value.__name__)
def test_trained_all_the_same(
    arrays: Arrays, tmp_path: Path, capsys: Any, name: str, spoil: Callable[[Arrays], None]
) -> None:
    """A node without edges is like any other, and one without a label counts nowhere."""
    spoil(arrays)
    done = run(arrays, tmp_path, COMMANDS[name], capsys)
    assert done.code == 0, done.err
    results = json.loads((done.out / "results.json").read_text())
    for record in results["per_seed"]:
        assert record["skipped_steps"] == 0
        assert 0 <= record.get("test", record.get("test_accuracy")) <= 100
