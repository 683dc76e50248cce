from __future__ import annotations

import math
from typing import Any

import pytest

from gsam.kg.schedule import TrainingSchedule


def factors(steps: range, total: int, **options: Any) -> list[float]:
    return [TrainingSchedule(**options).factor(step, total) for step in steps]


def test_lines_by_hand() -> None:
    assert factors(range(4), 4) == [1, 1, 1, 1]
    assert factors(range(4), 4, learning_rate="linear") == [1, 0.75, 0.5, 0.25]
    assert factors(range(4), 4, learning_rate="cosine") == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4])


def test_warm_up_grows_evenly_and_is_over_after_its_steps() -> None:
    assert factors(range(6), 100, warmup_steps=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert factors(range(2), 4, warmup_steps=1, learning_rate="linear") == pytest.approx([0.5, 0.75])


def test_time_brings_the_line_down_where_it_is_ahead() -> None:
    schedule = TrainingSchedule(learning_rate="linear", max_seconds=10.0)
    assert schedule.factor(50, 100, 2.0) == 0.5
    assert schedule.factor(20, 100, 9.0) == pytest.approx(0.1)
    assert schedule.factor(20, 100, 12.0) == 0
    assert TrainingSchedule(learning_rate="cosine", max_seconds=10.0).factor(0, 9, 5.0) == pytest.approx(0.5)
    assert TrainingSchedule(max_seconds=10.0).factor(0, 9, 11.0) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs >= 1, found 0"),
        ({"validate_every": 0}, "validate_every >= 1, found 0"),
        ({"patience": 0}, "patience >= 1, found 0"),
        ({"max_seconds": 0.0}, "max_seconds > 0, found 0.0"),
        ({"max_seconds": math.nan}, "max_seconds > 0, found nan"),
        ({"learning_rate": "steps"}, "a schedule among constant, linear, cosine, found 'steps'"),
        ({"warmup_steps": -1}, "warmup_steps >= 0, found -1"),
        ({"average": 1.0}, r"average in \[0, 1\), found 1.0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm > 0"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainingSchedule(**options)
