"""The demo, shortened, from outside."""

import json
from pathlib import Path

import pytest


@pytest.mark.slow
def test_demo_writes_table_and_picture(gsam, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = gsam("demo", "--seeds", "0", "--episodes", "10", "--out", out)
    assert done.returncode == 0, done.stderr
    table = (out / "table.md").read_text()
    for name in ("adam", "sam", "fgsam", "fgsam+", "sgc-prototype", "linear-probe"):
        assert f"| {name} |" in table
        if "-" not in name:
            assert json.loads((out / name / "results.json").read_text())["optimizer"] == name
    assert (out / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
