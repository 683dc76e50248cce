from __future__ import annotations

import random

import numpy as np
import torch

from gsam.random_states import random_states, set_random_states


def test_random_numbers_go_on() -> None:
    def draw() -> list[float]:
        return [random.random(), np.random.random(), float(np.random.normal()), float(torch.rand(()))]  # noqa: NPY002

    random.gauss(0, 1)  # leaves a number for the next call
    draw()
    states = random_states()
    first, gauss = draw(), random.gauss(0, 1)
    set_random_states(states)
    assert draw() == first
    assert random.gauss(0, 1) == gauss
