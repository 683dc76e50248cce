"""Graphs of triples that the caller has at hand, as numbers or as names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.errors import DatasetError
from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.datasets.names import NumberedNames
from gsam.datasets.triples import NumberedTriples, TripleText, number_splits

Triples = Tensor | Sequence[Sequence[str]]


def from_triples(
    splits: Mapping[str, Any],
    entities: Sequence[str] | None = None,
    relations: Sequence[str] | None = None,
    *,
    name: str = "triples",
) -> KnowledgeGraph:
    """Return the graph of given triples.

    Args:
        splits: ``"train"``, ``"valid"`` and ``"test"``, all of one kind. Numbers: an integer tensor or array [T, 3],
            taken as they are, duplicates included. Names: a sequence of (head, relation, tail), numbered and cleaned
            as those of a file (``number_splits``), "lines" being positions from 1.
        entities: N names for numbered entities; default their numbers, N the largest one plus 1.
        relations: R names for numbered relations; default their numbers.
        name: Name of the graph.

    Raises:
        DatasetError: Wrong shape or type, a number out of range, no training triple, or a relation that training
            lacks.
    """
    if any(_are_names(part) for part in splits.values()):
        if entities is not None or relations is not None:
            raise DatasetError("expected entities and relations with numbered triples only; named triples name them")
        return graph_of(number_splits({split: _as_text(part, split) for split, part in splits.items()}), name)
    numbered = {split: _as_tensor(part, split) for split, part in splits.items()}
    stacked = torch.cat(list(numbered.values()))
    names = (_names(entities, stacked[:, [0, 2]]), _names(relations, stacked[:, 1]))
    return _graph(name, numbered, *names, ()).validate()


def graph_of(numbered: NumberedTriples, name: str) -> KnowledgeGraph:
    """Return the graph of numbered splits."""
    splits = {split: torch.from_numpy(triples) for split, triples in numbered.splits.items()}
    return _graph(name, splits, numbered.entities, numbered.relations, numbered.notes)


def _graph(
    name: str, splits: Mapping[str, Tensor], entities: Sequence[str], relations: Sequence[str], notes: tuple[str, ...]
) -> KnowledgeGraph:
    return KnowledgeGraph(name, splits["train"], splits["valid"], splits["test"], entities, relations, notes)


def _names(given: Sequence[str] | None, numbers: Tensor) -> Sequence[str]:
    """Return the given names, else numbers up to the largest one in use."""
    if given is None:
        return NumberedNames(int(numbers.max()) + 1 if numbers.numel() else 0)
    return given if isinstance(given, NumberedNames) else tuple(given)


def _are_names(part: Any) -> bool:
    if isinstance(part, (Tensor, np.ndarray)):
        return False
    return len(part) > 0 and any(isinstance(field, str) for field in part[0])


def _as_text(part: Any, split: str) -> TripleText:
    """Return named triples as the content of a file, each on a line of its own."""
    for line, row in enumerate(part, 1):
        if len(row) != 3 or not all(isinstance(field, str) and field for field in row):
            raise DatasetError(f"{split}, triple {line}: expected (head, relation, tail) as text, found {row!r}")
    return TripleText(split, [field for row in part for field in row], np.arange(1, len(part) + 1))


def _as_tensor(part: Any, split: str) -> Tensor:
    try:
        triples = torch.as_tensor(part if len(part) else np.empty((0, 3), dtype=np.int64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DatasetError(f"{split}: expected triples [T, 3] of whole numbers or of names ({error})") from error
    if triples.is_floating_point() or triples.is_complex() or triples.dtype == torch.bool:
        raise DatasetError(f"{split}: expected whole numbers, found {triples.dtype}")
    if triples.dim() != 2 or triples.shape[1] != 3:
        raise DatasetError(f"{split}: expected triples [T, 3] (head, relation, tail), found {list(triples.shape)}")
    return triples.to("cpu", torch.int64)
