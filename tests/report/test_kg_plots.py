"""The curves have the numbers of the history on both axes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gsam.kg import TrainingHistory
from gsam.report import mrr_curves


def history(best: float) -> TrainingHistory:
    return TrainingHistory(epoch=[2, 4, 5], seconds=[1.0, 2.5, 3.0], loss=[3.0, 2.0, 1.0], mrr=[0.1, best, 0.2])


def test_both_panels_show_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *given: Any, **named: Any) -> None:
        kept.append(figure)
        save(figure, *given, **named)

    monkeypatch.setattr(Figure, "savefig", keep)
    slow = dataclasses.replace(history(0.6), seconds=[10.0, 25.0, 30.0])
    mrr_curves({"radam": history(0.5), "lorentz-sam": slow}, tmp_path / "curves.png", title="two")
    left, right = kept[0].axes
    for axes, *x in ((left, [2, 4, 5], [2, 4, 5]), (right, [1.0, 2.5, 3.0], [10.0, 25.0, 30.0])):
        curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
        assert [line.get_ydata().tolist() for line in curves] == [[0.1, 0.5, 0.2], [0.1, 0.6, 0.2]]
        assert [line.get_xdata().tolist() for line in curves] == x
        marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks] == [(x[0][1], 0.5), (x[1][1], 0.6)]
        assert axes.get_xlim()[0] == 0
        assert axes.get_xlim()[1] >= x[1][-1]
        assert axes.get_ylim()[1] >= 0.6
    assert "best 0.600" in right.get_legend().get_texts()[1].get_text()
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")).astype(int)
    assert (np.ptp(picture, axis=2) > 60).sum() > 500
