"""The figure of the concepts page shows what it says, and can be made again."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from gsam.optim import FGSAM, SAM

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "figures" / "make_concepts.py"


@pytest.fixture(scope="module")
def figure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_concepts", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gradient(loss, at: np.ndarray) -> np.ndarray:
    """By central differences."""
    shifts = 1e-3 * np.eye(2)
    values = [float(loss(torch.tensor(at + s)) - loss(torch.tensor(at - s))) for s in shifts]
    return np.array(values) / 2e-3


@pytest.mark.parametrize("peer", [False, True])
def test_the_points_are_those_of_the_formulas(figure: ModuleType, peer: bool) -> None:
    second = figure.peer_loss if peer else figure.gnn_loss
    found = figure.step(FGSAM if peer else SAM, 0.5, second)
    start = found["w"].astype(float)
    g = gradient(figure.gnn_loss, start)
    top = start + figure.RHO * g / np.linalg.norm(g)
    s = gradient(second, top)
    descent = g + s if peer else s
    for name, expected in {"g": g, "top": top, "s": s, "G": descent, "next": start - 0.5 * descent}.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_it_can_be_drawn(figure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["make_concepts.py", str(tmp_path / "drawn.svg")])
    figure.main()
    text = (tmp_path / "drawn.svg").read_text()
    assert text.startswith("<?xml")
    assert SCRIPT.with_name("concepts.svg").read_text().startswith("<?xml")
