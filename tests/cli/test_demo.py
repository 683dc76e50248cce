"""The demo, shortened, from outside."""

import json
from pathlib import Path

import pytest

from gsam.cli import demo_kg
from gsam.cli.demo import RUNS


@pytest.mark.slow
def test_demo_writes_table_and_picture(gsam, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = gsam("demo", "--seeds", "0", "--episodes", "10", "--epochs", "2", "--out", out)
    assert done.returncode == 0, done.stderr
    table = (out / "table.md").read_text()
    for name in ("gpn", "residual-gnn", "sgc-prototype", "linear-probe", "tuned-prototype", "proto-laplacian"):
        assert f"| {name} |" in table
    for method, optimizer, _ in RUNS:
        result = json.loads((out / f"{method}-{optimizer}" / "results.json").read_text())
        assert (result["method"], result["optimizer"]) == (method, optimizer)
        assert result["per_seed"][0]["episodes_run"] <= 10
    for picture in ("learning_curves.png", "poincare_disk.png", "learning_curves_kg.png"):
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"
    table = (out / "table_kg.md").read_text()
    for optimizer, _ in demo_kg.RUNS:
        found = [
            json.loads((out / f"hybonet-{optimizer}" / f"seed-{seed}" / "results.json").read_text())
            for seed in demo_kg.SEEDS
        ]
        assert [(one["optimizer"], one["epochs_run"]) for one in found] == [(optimizer, 2)] * len(demo_kg.SEEDS)
        mean = sum(one["test"]["both"]["mrr"] for one in found) / len(found)
        assert f"| hybonet | {optimizer} | {mean:.3f}" in table
        assert f"{mean:.3f} (" in done.stdout
