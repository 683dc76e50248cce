"""Each example runs as it stands, quickly, on bundled data, and prints figures that make sense."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECONDS = 120

# rows of the table each prints, and the least each must reach, in percent; chance is 2.4 (41 classes) and 20 (5-way)
EXPECTED = {
    "node_classification_fgsam.py": {"nearest class mean": 35, "Adam": 42, "FGSAM+": 42},
    "fewshot_default_preset.py": {
        "ResidualGNN, adam": 70,
        "ResidualGNN, fgsam+": 70,
        "sgc-prototype": 58,
        "linear-probe": 58,
        "tuned-prototype": 70,
        "proto-laplacian": 62,
    },
    "fewshot_custom_method.py": {"ours": 55, "SGC-prototype": 55, "difference": -3},
    "large_graph.py": {"exact blocks": 50, "max_neighbors=10": 48},  # chance is 33
    "nodes_compare.py": {"features only": 40, "Adam": 55, "SAM": 52, "FGSAM": 48},
    "accelerate_sam.py": {"Adam": 40, "SAM": 38},
    "lightning_sam.py": {"Adam": 40, "SAM": 38},
    "riemannian_sam_poincare.py": {"Riemannian Adam": 88, "Riemannian SAM": 88},  # chance is 50
}
OTHERS = {"kg_complete.py", "kg_split_tables.py"}  # these print no such table
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(name: str, folder: Path, launcher: Sequence[str] = ()) -> str:
    """Run an example in another folder, on one thread as others may run beside it, and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, str(EXAMPLES / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert not list(folder.iterdir()), "an example must not leave files behind"
    return done.stdout


def table(text: str) -> dict[str, tuple[float, float]]:
    """The rows ``name  mean +- interval %``."""
    row = re.compile(r"^(.+?) +(-?\d+\.\d) \+- (\d+\.\d) %$")
    found = [row.match(line) for line in text.splitlines()]
    assert text
    assert all(found), f"expected rows of the form 'name mean +- interval %', found {text!r}"
    return {match[1]: (float(match[2]), float(match[3])) for match in found if match}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example_runs(name: str, tmp_path: Path) -> None:
    found = table(run(name, tmp_path))
    assert list(found) == list(EXPECTED[name])
    for row, least in EXPECTED[name].items():
        mean, interval = found[row]
        assert least <= mean <= 100
        assert 0 <= interval < 25


@pytest.mark.slow
def test_a_graph_is_completed(tmp_path: Path) -> None:
    """Far above chance (0.009), and each list is in order and marks what was held out."""
    text = run("kg_complete.py", tmp_path)
    figures = re.search(r"MRR (0\.\d+), Hits@10 (0\.\d+)", text)
    assert figures is not None
    assert float(figures[1]) > 0.4
    assert float(figures[2]) > 0.6
    lists = [block.splitlines() for block in text.strip().split("\n\n")[1:]]
    assert len(lists) == 3
    for title, *answers in lists:
        assert title.endswith(": hypernym ?")
        found = [re.fullmatch(r" *(\d+)  (\S+) +(-?\d+\.\d\d)  (.+)", line) for line in answers]
        assert [int(match[1]) for match in found if match] == [1, 2, 3, 4, 5, 6]
        scores = [float(match[3]) for match in found if match]
        assert scores == sorted(scores, reverse=True)
    assert "  test\n" in text


def test_what_is_no_table_is_refused() -> None:
    """So that neither a traceback nor stray output can pass for a result."""
    with pytest.raises(AssertionError, match="expected rows"):
        table("Traceback (most recent call last):")
    assert table("Adam   53.6 +- 3.2 %") == {"Adam": (53.6, 3.2)}


def test_every_example_is_covered() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED) | OTHERS


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60


@pytest.mark.slow
def test_tables_are_split_over_two_processes(tmp_path: Path) -> None:
    text = run("kg_split_tables.py", tmp_path, TORCHRUN)
    assert "rows of 2 process(es): 585, 585; together: 1170\n" in text
    figures = re.search(r"MRR (0\.\d+), Hits@10 (0\.\d+)", text)
    assert figures is not None
    assert float(figures[1]) > 0.25
    assert float(figures[2]) > 0.4
