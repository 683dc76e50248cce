"""From triples as text to numbered ones: vocabularies, duplicates, what is unseen in training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsam.datasets.errors import DatasetError

Integers = NDArray[np.int64]
_SHOWN = 5  # line numbers listed in a note


class TripleText(NamedTuple):
    """Triples as they stand in a file.

    Attributes:
        where: The file.
        fields: 3T strings: head, relation, tail, head, relation, tail, ...
        lines: int64 [T], the line of each triple, from 1.
        notes: What the reader passed over.
    """

    where: str
    fields: list[str]
    lines: Integers
    notes: tuple[str, ...] = ()


class NumberedTriples(NamedTuple):
    """Splits of numbered triples with their vocabularies.

    Attributes:
        splits: int64 [T, 3] (head, relation, tail) by name of the split.
        entities: N names.
        relations: R names.
        notes: What is unusual about the triples.
    """

    splits: dict[str, Integers]
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    notes: tuple[str, ...]


def number_splits(parts: Mapping[str, TripleText]) -> NumberedTriples:
    """Number entities and relations in the order in which they first appear, and clean the splits.

    The order runs over the splits as given (training first), row by row, head before tail: the numbers are those of
    PyTorch Geometric's ``FB15k_237``, and what training has seen has the lowest ones. A triple that stands twice in a
    split is kept once; triples of another split, and entities that training has not seen, are kept and noted.

    Args:
        parts: The splits by name, ``"train"`` first.

    Raises:
        DatasetError: No training triple, or a relation in another split that training lacks, with file and line.
    """
    coded, entities, relations = encode(parts.values())
    train = next(iter(parts.values()))
    if not len(train.lines):
        raise DatasetError(f"{train.where}: expected at least one triple to train on, found none")
    num_seen = int(coded[0][:, [0, 2]].max()) + 1, int(coded[0][:, 1].max()) + 1
    notes, kept = [], []
    for part, triples in zip(parts.values(), coded, strict=True):
        _check_relations(part, triples, relations, num_seen[1], train.where)
        first = first_occurrences(triples)
        kept.append((part.where, triples[first], part.lines[first]))
        notes += [*part.notes, *duplicates_note(part, first), *_unseen(*kept[-1][:2], num_seen[0])]
    splits = {name: triples for name, (_, triples, _) in zip(parts, kept, strict=True)}
    return NumberedTriples(splits, entities, relations, (*notes, *_overlaps(kept)))


def encode(parts: Iterable[TripleText]) -> tuple[list[Integers], tuple[str, ...], tuple[str, ...]]:
    """Return the triples of each part as numbers int64 [T, 3], and the names of entities and relations."""
    given = list(parts)
    ends, links = [_ends(part.fields) for part in given], [part.fields[1::3] for part in given]
    coded_ends, entities = _numbered(ends)
    coded_links, relations = _numbered(links)
    triples = [
        np.stack([pair[0::2], link, pair[1::2]], axis=1) for pair, link in zip(coded_ends, coded_links, strict=True)
    ]
    return triples, entities, relations


def first_occurrences(triples: Integers) -> NDArray[np.bool_]:
    """Return bool [T]: whether a triple [T, 3] stands there for the first time."""
    mask = np.zeros(len(triples), dtype=bool)
    mask[np.unique(_keys(triples), return_index=True)[1]] = True
    return mask


def duplicates_note(part: TripleText, first: NDArray[np.bool_]) -> list[str]:
    """Return the note on triples that stand more than once in a part, if there are any."""
    lines = part.lines[~first]
    return [f"{part.where}: {counted(len(lines), 'duplicate')} dropped ({listed_lines(lines)})"] if len(lines) else []


def _ends(fields: list[str]) -> list[str]:
    """Return head, tail, head, tail, ..."""
    ends = fields.copy()
    del ends[1::3]
    return ends


def _numbered(parts: Sequence[list[str]]) -> tuple[list[Integers], tuple[str, ...]]:
    names = tuple(dict.fromkeys(chain.from_iterable(parts)))
    number = dict(zip(names, range(len(names)), strict=True))
    return [np.fromiter(map(number.__getitem__, part), np.int64, len(part)) for part in parts], names


def _keys(triples: Integers) -> Integers:
    """Return one number per triple, the same for the same triple: mixed radix, made dense where it could overflow."""
    if not len(triples):
        return np.empty(0, dtype=np.int64)
    heads, links, tails = (int(size) for size in triples.max(axis=0) + 1)
    pairs = triples[:, 0] * links + triples[:, 1]
    if heads * links * tails >= 2**63:
        pairs = np.unique(pairs, return_inverse=True)[1].reshape(-1)
    return np.asarray(pairs * tails + triples[:, 2], dtype=np.int64)


def _check_relations(
    part: TripleText, triples: Integers, relations: tuple[str, ...], num_seen: int, train: str
) -> None:
    unseen = triples[:, 1] >= num_seen
    if unseen.any():
        at = int(np.argmax(unseen))
        raise DatasetError(
            f"{part.where}, line {part.lines[at]}: relation {relations[triples[at, 1]]!r} does not occur in {train}: "
            f"no model can score it ({counted(int(unseen.sum()), 'such line')} in all); move such triples to {train}, "
            "or remove them"
        )


def _unseen(where: str, triples: Integers, num_seen: int) -> list[str]:
    ends = triples[:, [0, 2]]
    unseen = ends >= num_seen
    if not (count := len(np.unique(ends[unseen]))):
        return []
    rows = int(unseen.any(axis=1).sum())
    found = "1 entity" if count == 1 else f"{count:,} entities"
    return [f"{where}: {found} unseen in training, in {counted(rows, 'triple')} (kept)"]


def _overlaps(splits: Sequence[tuple[str, Integers, Integers]]) -> list[str]:
    """Return notes on triples of a split that stand in an earlier one."""
    notes = []
    keys = np.split(_keys(np.concatenate([s[1] for s in splits])), np.cumsum([len(s[1]) for s in splits])[:-1])
    for later in range(1, len(splits)):
        for earlier in range(later):
            shared = np.isin(keys[later], keys[earlier])
            if shared.any():
                (where, _, lines), (other, _, _) = splits[later], splits[earlier]
                found = counted(int(shared.sum()), "triple")
                notes.append(f"{where}: {found} also in {other} ({listed_lines(lines[shared])})")
    return notes


def counted(number: int, what: str) -> str:
    """Return, for example, ``"2 triples"``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def listed_lines(lines: Integers) -> str:
    """Return line numbers as text, the first five of them."""
    more = f" and {len(lines) - _SHOWN:,} more" if len(lines) > _SHOWN else ""
    return f"line{'s' * (len(lines) != 1)} {', '.join(map(str, lines[:_SHOWN].tolist()))}{more}"
