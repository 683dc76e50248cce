"""Checks of the numbers that models are built from."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_positive(name: str, value: float) -> float:
    """Refuse what is no finite number above 0, and return it."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"expected a finite {name} > 0, found {value}")
    return value


def check_limit(name: str, value: float | None, below: float = math.inf) -> float | None:
    """Refuse a limit that is not above 0 and under ``below``; None is no limit, where there is no ``below``."""
    if value is None and below == math.inf:
        return None
    if value is None or not 0 < value < below:
        upper = " or None for no limit" if below == math.inf else f" and below {below}"
        raise ValueError(f"expected {name} > 0{upper}, found {value}")
    return value


def check_dropout(value: float) -> float:
    """Refuse a dropout share outside [0, 1), and return it."""
    if not 0 <= value < 1:
        raise ValueError(f"expected 0 <= dropout < 1, found {value}; 0 switches it off")
    return value


def check_finite(name: str, value: float) -> float:
    """Refuse NaN and infinities, and return the number."""
    if not math.isfinite(value):
        raise ValueError(f"expected a finite {name}, found {value}")
    return value


def check_choice(name: str, value: str, known: Sequence[str]) -> str:
    """Refuse a name that is not among the known ones, and return it."""
    if value not in known:
        raise ValueError(f"expected {name} {' or '.join(known)}, found {value!r}")
    return value
