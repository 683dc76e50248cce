"""A small knowledge graph whose missing triples follow from the given ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gsam.datasets.knowledge_graph import KnowledgeGraph

SIZE, CLASSES = 24, 6


def toy_triples() -> Tensor:
    """Entity e is of class ``e % 6``; relation r leads from class c to all of class ``c + (0, 1, 2, 4)[r]``."""
    head, tail = torch.arange(SIZE).view(-1, 1), torch.arange(SIZE).view(1, -1)
    found = []
    for relation, step in enumerate((0, 1, 2, 4)):
        pairs = ((tail - head - step) % CLASSES == 0).nonzero()
        found.append(torch.stack([pairs[:, 0], torch.full((len(pairs),), relation), pairs[:, 1]], 1))
    return torch.cat(found)


def toy_graph(seed: int = 0, **changes: Any) -> KnowledgeGraph:
    """60 % of the 384 triples to train on, 20 % to choose by, 20 % to test."""
    triples = toy_triples()
    order = torch.randperm(len(triples), generator=torch.Generator().manual_seed(seed))
    fifth = len(triples) // 5
    parts = {
        "test": triples[order[:fifth]],
        "valid": triples[order[fifth : 2 * fifth]],
        "train": triples[order[2 * fifth :]],
    }
    names = {"entities": tuple(f"e{i}" for i in range(SIZE)), "relations": ("same", "next", "skip", "far")}
    return KnowledgeGraph("toy", **{**parts, **names, **changes})
