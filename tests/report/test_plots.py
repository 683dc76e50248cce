"""The picture shows the running best of every run, where every run has one."""

from pathlib import Path

import numpy as np
from PIL import Image

from gsam.fewshot import History
from gsam.report.plots import _best_so_far, learning_curves


def test_best_so_far_is_a_step_function_of_time() -> None:
    history = History(episode=[10, 20, 30], seconds=[1.0, 2.0, 3.0], loss=[1, 1, 1], val_accuracy=[40.0, 60.0, 50.0])
    assert _best_so_far(history, np.array([1.0, 1.9, 2.0, 3.0, 9.0])).tolist() == [40.0, 40.0, 60.0, 60.0, 60.0]


def test_learning_curves_writes_a_picture_with_colour(tmp_path: Path) -> None:
    runs = [
        History(episode=[1, 2], seconds=[0.5 + s, 1.0 + s], loss=[1.0, 1.0], val_accuracy=[30.0, 60.0 + s])
        for s in (0.0, 0.2)
    ]
    learning_curves({"adam": runs, "sam": runs[:1]}, tmp_path / "curves.png", title="two", lines={"baseline": 50.0})
    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB")).astype(int)
    assert picture.shape[0] > 400
    assert (np.ptp(picture, axis=2) > 60).sum() > 500  # lines that are not grey
