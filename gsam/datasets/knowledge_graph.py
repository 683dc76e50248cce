"""The one container of every knowledge graph: numbered triples in three splits, and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gsam.datasets.errors import DatasetError
from gsam.datasets.names import NumberedNames, numbers_of, unknown

SPLITS = ("train", "valid", "test")


class OfficialNegatives(NamedTuple):
    """The corrupted triples against which a benchmark ranks the triples of a split.

    Attributes:
        heads: Integers [T, K]: in row i the entities that replace the head of triple i.
        tails: Integers [T, K]: those that replace its tail.
    """

    heads: Tensor
    tails: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class KnowledgeGraph:
    """A knowledge graph of N entities and R relations with its training, validation and test triples.

    Plain data: nothing is computed on construction. Entities and relations are numbered in the order in which the
    files first name them (training first, head before tail), unless the files number them.

    Attributes:
        name: Name of the graph.
        train: int64 [T, 3]: head, relation, tail.
        valid: int64 [T', 3].
        test: int64 [T'', 3].
        entities: N names.
        relations: R names.
        notes: What the reader found unusual: duplicates, blank lines, entities unseen in training, ...
        entity_depth: int64 [N], distance from the root where the graph is a hierarchy, or None.
        entity_type: int64 [N], the type of each entity, or None.
        type_names: Names of the types.
        negatives: Official negatives by split, for benchmarks that do not rank against all entities.
    """

    name: str
    train: Tensor
    valid: Tensor
    test: Tensor
    entities: Sequence[str]
    relations: Sequence[str]
    notes: tuple[str, ...] = ()
    entity_depth: Tensor | None = None
    entity_type: Tensor | None = None
    type_names: tuple[str, ...] = ()
    negatives: Mapping[str, OfficialNegatives] = field(default_factory=dict)

    @staticmethod
    def from_folder(path: str | Path, *, name: str | None = None) -> KnowledgeGraph:
        """Read ``train.txt valid.txt test.txt``; see :func:`gsam.datasets.readers.triples_folder.read_folder`."""
        from gsam.datasets.readers.triples_folder import read_folder

        return read_folder(path, name=name)

    @staticmethod
    def from_file(path: str | Path, *, seed: int = 0) -> KnowledgeGraph:
        """Read a ``.tsv``, ``.csv`` or ``.nt`` and split it; see :func:`gsam.datasets.readers.triples_file.read_file`.

        Args:
            path: The file.
            seed: Which random split of 80, 10 and 10 percent.
        """
        from gsam.datasets.readers.triples_file import read_file

        return read_file(path, seed=seed)

    @staticmethod
    def from_triples(
        train: Tensor | Sequence[Sequence[str]],
        valid: Tensor | Sequence[Sequence[str]] = (),
        test: Tensor | Sequence[Sequence[str]] = (),
        *,
        entities: Sequence[str] | None = None,
        relations: Sequence[str] | None = None,
        name: str = "triples",
    ) -> KnowledgeGraph:
        """Make a graph of triples at hand, numbers or names; see :func:`gsam.datasets.given_triples.from_triples`."""
        from gsam.datasets.given_triples import from_triples

        return from_triples({"train": train, "valid": valid, "test": test}, entities, relations, name=name)

    @property
    def num_entities(self) -> int:
        """N."""
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        """R, without reciprocal relations."""
        return len(self.relations)

    def split(self, name: str) -> Tensor:
        """Return the triples int64 [T, 3] of ``"train"``, ``"valid"`` or ``"test"``.

        Raises:
            DatasetError: Another name.
        """
        if name not in SPLITS:
            raise DatasetError(f"expected split train, valid or test, found {name!r}")
        triples: Tensor = getattr(self, name)
        return triples

    def all_triples(self) -> Tensor:
        """Return int64 [T + T' + T'', 3]: training, then validation, then test triples."""
        return torch.cat([self.train, self.valid, self.test])

    def entity_index(self, name: str) -> int:
        """Return the number of an entity.

        Raises:
            DatasetError: There is none of that name; the message lists close ones.
        """
        return _index(name, self.entities, self._entity_numbers, f"entity of {self.name}")

    def relation_index(self, name: str) -> int:
        """Return the number of a relation.

        Raises:
            DatasetError: There is none of that name; the message lists close ones.
        """
        return _index(name, self.relations, self._relation_numbers, f"relation of {self.name}")

    def validate(self) -> KnowledgeGraph:
        """Return ``self`` if it can be trained on.

        Raises:
            DatasetError: No training triple, wrong shapes or types, a number without a name, a relation that training
                lacks, or names that stand twice; one line that names the first offender.
        """
        from gsam.datasets.triple_checks import check_graph

        check_graph(self)
        return self

    @cached_property
    def _entity_numbers(self) -> Mapping[str, int] | None:
        return None if isinstance(self.entities, NumberedNames) else numbers_of(self.entities)

    @cached_property
    def _relation_numbers(self) -> Mapping[str, int] | None:
        return None if isinstance(self.relations, NumberedNames) else numbers_of(self.relations)

    def __repr__(self) -> str:
        counts = " / ".join(f"{len(self.split(name)):,}" for name in SPLITS)
        return (
            f"KnowledgeGraph({self.name!r}: {self.num_entities:,} entities, {self.num_relations:,} relations, "
            f"{counts} triples)"
        )


def _index(name: str, names: Sequence[str], numbers: Mapping[str, int] | None, what: str) -> int:
    try:
        return names.index(name) if numbers is None else numbers[name]
    except (ValueError, KeyError):
        raise unknown(name, names, what) from None
