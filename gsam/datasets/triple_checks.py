"""Checks of numbered triples: every problem becomes one line that names the first offender."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gsam.datasets.errors import DatasetError
from gsam.datasets.knowledge_graph import SPLITS, KnowledgeGraph
from gsam.datasets.names import NumberedNames


def check_graph(graph: KnowledgeGraph) -> None:
    """Run every check on a graph.

    Raises:
        DatasetError: The first problem found; see :meth:`gsam.datasets.KnowledgeGraph.validate`.
    """
    for split in SPLITS:
        check_triples(graph.split(split), graph.num_entities, graph.num_relations, f"{graph.name}, {split}")
    if not len(graph.train):
        raise DatasetError(f"{graph.name}, train: expected at least one triple to train on, found none")
    _check_names(graph.entities, f"{graph.name}: entity")
    _check_names(graph.relations, f"{graph.name}: relation")
    for split in SPLITS[1:]:
        _check_seen(graph, split)


def check_triples(triples: Tensor, num_entities: int, num_relations: int, where: str) -> None:
    """Check type, shape and range of triples.

    Args:
        triples: int64 [T, 3].
        num_entities: N: heads and tails are 0 to N - 1.
        num_relations: R: relations are 0 to R - 1.
        where: What to name in the message.

    Raises:
        DatasetError: The first triple that is out of range, or another shape or type.
    """
    if triples.dtype != torch.int64 or triples.dim() != 2 or triples.shape[1] != 3:
        raise DatasetError(
            f"{where}: expected triples as int64 [T, 3] (head, relation, tail), "
            f"found {triples.dtype} of shape {list(triples.shape)}"
        )
    limits = torch.tensor([num_entities, num_relations, num_entities])
    bad = (triples < 0) | (triples >= limits)
    if bool(bad.any()):
        row, column = (int(at) for at in bad.nonzero()[0])
        raise DatasetError(
            f"{where}: {('head', 'relation', 'tail')[column]} {int(triples[row, column])} of triple {row} is out of "
            f"range: expected 0 to {int(limits[column]) - 1}"
        )


def _check_names(names: Sequence[str], what: str) -> None:
    if isinstance(names, NumberedNames) or len(set(names)) == len(names):
        return
    seen: set[str] = set()
    twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    raise DatasetError(f"{what} {twice!r} is named twice: names must differ")


def _check_seen(graph: KnowledgeGraph, split: str) -> None:
    seen = torch.zeros(graph.num_relations, dtype=torch.bool)
    seen[graph.train[:, 1]] = True
    relations = graph.split(split)[:, 1]
    unseen = ~seen[relations]
    if bool(unseen.any()):
        row = int(unseen.to(torch.uint8).argmax())
        name = graph.relations[int(relations[row])]
        raise DatasetError(f"{graph.name}, {split}: relation {name!r} of triple {row} does not occur in train")


def check_negatives(graph: KnowledgeGraph) -> None:
    """Check shape and range of the official negatives.

    Raises:
        DatasetError: Not a row per triple, not whole numbers, or a number that is no entity.
    """
    for split, negatives in graph.negatives.items():
        for side, numbers in negatives._asdict().items():
            what, rows = f"{graph.name}, {split}: negative {side}", len(graph.split(split))
            if numbers.is_floating_point() or numbers.dim() != 2 or len(numbers) != rows:
                raise DatasetError(
                    f"{what}: expected whole numbers [{rows}, K], found {numbers.dtype} of shape {list(numbers.shape)}"
                )
            if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < graph.num_entities:
                raise DatasetError(
                    f"{what}: {int(numbers.min())} to {int(numbers.max())} found, "
                    f"expected 0 to {graph.num_entities - 1}"
                )
