"""The type that the value of a key must have, taken from the configuration of a run and from options' defaults."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from gsam.fewshot.bench.errors import BenchError
from gsam.fewshot.config import FewShotConfig

#: keys that say what the tasks are; all methods and optimizers of a block share them
TASK = ("queries", "test_episodes")
#: keys that say how long to train
SCHEDULE = (
    "episodes",
    "validate_every",
    "validation_episodes",
    "patience",
    "train_ways",
    "train_queries",
    "max_neighbors",
)
#: hyper-parameters that every method and optimizer takes
COMMON = ("lr", "weight_decay", "hidden", "dropout")

_SCALARS = (bool, int, float, str)
_NAMES = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
_HINTS = get_type_hints(FewShotConfig)
_FIELDS = {name: kind for name, hint in _HINTS.items() for kind in (int, float, str) if hint in (kind, kind | None)}

Kinds = Mapping[str, type | None]


def field_kinds(names: Iterable[str]) -> dict[str, type | None]:
    """The types of fields of :class:`~gsam.fewshot.FewShotConfig`, by name."""
    return {name: _FIELDS[name] for name in names}


def option_kinds(options: Mapping[str, Any]) -> dict[str, type | None]:
    """The types of options: the field's of that name, else that of the default; ``None`` where that says nothing."""
    return {
        name: _FIELDS.get(name, type(default) if isinstance(default, _SCALARS) else None)
        for name, default in options.items()
    }


def check_keys(where: str, found: Mapping[Any, Any], known: Iterable[str], required: Iterable[str] = ()) -> None:
    """Refuse keys that are unknown or missing.

    Raises:
        BenchError: there is one; the message has the known ones.
    """
    names = list(known)
    for key in found:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise BenchError(f"{where}: expected keys among {', '.join(names)}, found {key!r}{hint}")
    missing = [name for name in required if name not in found]
    if missing:
        raise BenchError(f"{where}: expected the keys {', '.join(required)}, found no {', '.join(missing)}")


def checked(where: str, value: Any, kind: type | None) -> Any:
    """The value, if it has the type; a whole number where a number is expected becomes one.

    Raises:
        BenchError: it has not, or it is not finite.
    """
    if kind is float and type(value) is int:
        return float(value)
    right = isinstance(value, _SCALARS) if kind is None else type(value) is kind
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        expected = _NAMES[kind] if kind else "a number, text, true or false"
        raise BenchError(f"{where}: expected {expected}, found {value!r}")
    return value


def checked_values(where: str, found: Mapping[str, Any], kinds: Kinds) -> dict[str, Any]:
    """The values with :func:`checked` applied to those that ``kinds`` names, in the order found."""
    return {name: checked(f"{where}: {name}", value, kinds[name]) for name, value in found.items() if name in kinds}
