from __future__ import annotations

import math

import pytest

from gsam.kg._option_checks import check_choice, check_dropout, check_finite, check_limit, check_positive


def test_good_values_come_back() -> None:
    assert check_positive("scale", 2.5) == 2.5
    assert check_limit("max_norm", 3.0) == 3.0
    assert check_limit("max_norm", None) is None
    assert check_limit("max_norm", 0.5, below=1.0) == 0.5
    assert check_dropout(0.0) == 0.0
    assert check_finite("margin", -3.0) == -3.0


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_positive(value: float) -> None:
    with pytest.raises(ValueError, match=f"expected a finite scale > 0, found {value}"):
        check_positive("scale", value)


def test_limits() -> None:
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"expected max_norm > 0 or None for no limit, found {value}"):
            check_limit("max_norm", value)
    for bounded in (None, 1.0, 0.0, math.nan):
        with pytest.raises(ValueError, match=rf"expected max_norm > 0 and below 1.0, found {bounded}"):
            check_limit("max_norm", bounded, below=1.0)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_dropout(value: float) -> None:
    with pytest.raises(ValueError, match=f"expected 0 <= dropout < 1, found {value}"):
        check_dropout(value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_finite(value: float) -> None:
    with pytest.raises(ValueError, match=f"expected a finite margin, found {value}"):
        check_finite("margin", value)


def test_choices() -> None:
    assert check_choice("init", "kaiming", ("kaiming", "identity")) == "kaiming"
    with pytest.raises(ValueError, match="expected init kaiming or identity, found 'zeros'"):
        check_choice("init", "zeros", ("kaiming", "identity"))
