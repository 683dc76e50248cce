"""Class splits: which classes are trained on, which choose, which are tested."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("train", "valid", "test")


class SplitError(ValueError):
    """A class split that cannot be made or does not fit the data."""


@dataclass(frozen=True)
class ClassSplit:
    """Three disjoint sets of classes: base (``train``), validation (``valid``) and novel (``test``).

    Attributes:
        train: class indices whose labels are known in training.
        valid: class indices that choose epochs and hyper-parameters.
        test: class indices that give the score.

    Raises:
        SplitError: a part is empty, or a class stands twice.
    """

    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, tuple(int(c) for c in getattr(self, part)))
            if not getattr(self, part):
                raise SplitError(f"expected at least one class in {part!r}, found none; a split needs all of {PARTS}")
        classes = self.train + self.valid + self.test
        twice = sorted({c for c in classes if classes.count(c) > 1})
        if twice:
            raise SplitError(f"expected each class in one part only, found {twice} more than once")

    @classmethod
    def random(cls, classes: int | Sequence[int], counts: tuple[int, int, int], seed: int) -> ClassSplit:
        """Draw the parts at random.

        Args:
            classes: the number of classes, or the indices to draw from.
            counts: how many classes go to train, validation and test; classes left over are unused.
            seed: the draw depends on nothing else.

        Raises:
            SplitError: there are fewer classes than ``counts`` asks for.
        """
        pool = np.arange(classes) if isinstance(classes, int) else np.asarray(classes)
        if sum(counts) > len(pool) or min(counts) < 1:
            raise SplitError(
                f"expected counts of at least 1 that sum to at most {len(pool)} classes, found "
                f"{','.join(map(str, counts))}; choose a smaller --split"
            )
        order = np.random.default_rng([seed, 0]).permutation(pool)
        train, valid, _ = np.cumsum(counts)
        return cls(tuple(order[:train]), tuple(order[train:valid]), tuple(order[valid : sum(counts)]))

    @classmethod
    def named(cls, splits: Mapping[str, Mapping[str, Sequence[int]]], name: str) -> ClassSplit:
        """A split published with a data set (``dataset.class_splits``).

        Raises:
            SplitError: there is none of that name.
        """
        if name not in splits:
            known = ", ".join(sorted(splits)) or "none"
            raise SplitError(
                f"expected three counts such as 5,5,5, a .json file, or a published split ({known}), found {name!r}"
            )
        return cls(**{part: tuple(splits[name][part]) for part in PARTS})

    @classmethod
    def from_file(cls, path: str | Path) -> ClassSplit:
        """Read a JSON file ``{"train": [...], "valid": [...], "test": [...]}`` of class indices.

        Raises:
            SplitError: the file is missing, is no JSON, lacks a part, or a part is no list of integers.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**{part: _indices(content[part]) for part in PARTS})
        except SplitError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SplitError(f"expected a JSON file with the lists {PARTS} at {path}, found {error!r}") from error

    def check_classes(self, num_classes: int) -> None:
        """Refuse a split that names classes the data does not have.

        Raises:
            SplitError: an index is not in ``[0, num_classes)``.
        """
        missing = [c for c in self.train + self.valid + self.test if not 0 <= c < num_classes]
        if missing:
            raise SplitError(f"expected classes 0 to {num_classes - 1}, found {missing}; this split is for other data")

    def to_dict(self) -> dict[str, list[int]]:
        """The parts as lists, ready for JSON."""
        return {part: list(classes) for part, classes in asdict(self).items()}


def _indices(found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(c) is int for c in found):
        raise TypeError(f"expected a list of integers, found {found!r}")
    return tuple(found)
