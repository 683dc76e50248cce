from __future__ import annotations

import pytest
from scipy import stats
from torch import nn

from gsam.evaluation import evaluating, mean_ci95


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back_even_after_an_error(training: bool) -> None:
    module = nn.Sequential(nn.Dropout(0.5)).train(training)
    with evaluating(module):
        assert not module.training
        assert not module[0].training
    assert module.training is training
    with pytest.raises(RuntimeError, match="within"), evaluating(module):
        raise RuntimeError("within")
    assert module.training is training
    assert module[0].training is training


@pytest.mark.parametrize("values", [[60.0, 62.0], [63.3, 61.5, 70.1, 66.0, 58.4], list(range(30))])
def test_interval_against_scipy(values: list[float]) -> None:
    mean, half = mean_ci95(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=stats.sem(values))
    assert half is not None
    assert (mean - half, mean + half) == (pytest.approx(low), pytest.approx(high))
    assert mean == pytest.approx(sum(values) / len(values))


def test_interval_of_few_values() -> None:
    assert mean_ci95([61.5]) == (61.5, None)
    assert mean_ci95([61.5, 61.5, 61.5]) == (61.5, 0.0)
    with pytest.raises(ValueError, match="at least one value"):
        mean_ci95([])
