"""Names of entities and relations: numbers as names where a set has none, and look-up with help for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import overload

from gsam.datasets.errors import DatasetError

_MOST_COMPARED = 200_000  # difflib takes about a second for so many names


class NumberedNames(Sequence[str]):
    """The names ``"0"`` to ``"n - 1"``, made when they are asked for: millions of entities cost nothing.

    Args:
        count: n.
    """

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[str, ...]: ...
    def __getitem__(self, at: int | slice) -> str | tuple[str, ...]:
        if isinstance(at, slice):
            return tuple(map(str, self._numbers[at]))
        return str(self._numbers[at])

    def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        """Return the number that a name is.

        Raises:
            ValueError: There is no such name between ``start`` and ``stop``.
        """
        number = int(value) if isinstance(value, str) and value.isdecimal() else -1
        if str(number) != value or number not in self._numbers[start:stop]:
            raise ValueError(f"{value!r} is none of the numbers 0 to {len(self) - 1}")
        return number

    def __contains__(self, value: object) -> bool:
        try:
            self.index(value)
        except ValueError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumberedNames) and len(self) == len(other)

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"NumberedNames({len(self)})"


def numbers_of(names: Sequence[str]) -> Mapping[str, int]:
    """Return the number of each name."""
    return dict(zip(names, range(len(names)), strict=True))


def unknown(name: str, names: Sequence[str], what: str) -> DatasetError:
    """Return the error for a name that is none of ``names``: up to three close ones, or the first ones.

    Args:
        name: What was asked for.
        names: What there is.
        what: What the names are, for example ``"entity"`` of a set.
    """
    close = _close(name, names)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {len(names):,}: {_first(names)}"
    return DatasetError(f"unknown {what} {name!r}: {hint}")


def _close(name: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, NumberedNames) or len(names) > _MOST_COMPARED:
        return []
    part = name.strip().lower()
    containing = [other for other in names if part and part in other.lower()]
    return sorted(containing, key=len)[:3] or difflib.get_close_matches(name, names, n=3)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
