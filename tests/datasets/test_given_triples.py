from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph
from gsam.datasets.names import NumberedNames

NAMED = [("a", "r", "b"), ("b", "r", "c"), ("a", "r", "b")]


def test_names_are_numbered_and_cleaned() -> None:
    graph = KnowledgeGraph.from_triples(NAMED, [("a", "r", "d")], name="mine")
    assert graph.train.tolist() == [[0, 0, 1], [1, 0, 2]]
    assert graph.valid.tolist() == [[0, 0, 3]]
    assert graph.test.shape == (0, 3)
    assert graph.entities == ("a", "b", "c", "d")
    assert graph.name == "mine"
    assert graph.notes == (
        "train: 1 duplicate dropped (line 3)",
        "valid: 1 entity unseen in training, in 1 triple (kept)",
    )


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list])
def test_numbers_are_taken_as_they_are(kind: Any) -> None:
    train = kind([[0, 0, 1], [1, 1, 4], [0, 0, 1]])
    graph = KnowledgeGraph.from_triples(train, test=kind([[4, 0, 2]]))
    assert graph.train.tolist() == [[0, 0, 1], [1, 1, 4], [0, 0, 1]]
    assert graph.test.tolist() == [[4, 0, 2]]
    assert graph.train.dtype == graph.valid.dtype == torch.int64
    assert graph.entities == NumberedNames(5)
    assert graph.relations == NumberedNames(2)
    assert graph.entity_index("4") == 4


def test_numbers_with_names() -> None:
    graph = KnowledgeGraph.from_triples(torch.tensor([[0, 0, 1]]), entities=["a", "b", "c"], relations=["r"])
    assert (graph.entities, graph.relations) == (("a", "b", "c"), ("r",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": []}, "expected at least one triple"),
        ({"train": [("a", "r")]}, r"train, triple 1: expected \(head, relation, tail\) as text, found \('a', 'r'\)"),
        ({"train": [("a", "r", "b"), ("a", 1, "b")]}, "train, triple 2"),
        ({"train": [("a", "", "b")]}, "train, triple 1"),
        ({"train": NAMED, "entities": ["a", "b", "c"]}, "with numbered triples only"),
        ({"train": NAMED, "test": [("a", "s", "b")]}, "test, line 1: relation 's' does not occur in train"),
        ({"train": torch.tensor([[0.0, 0.0, float("nan")]])}, r"train: expected whole numbers, found torch\.float32"),
        ({"train": torch.tensor([[True, True, False]])}, r"found torch\.bool"),
        ({"train": torch.tensor([[0, 1]])}, r"expected triples \[T, 3\] \(head, relation, tail\), found \[1, 2\]"),
        ({"train": [[0, 1, 2], [0, 1]]}, r"train: expected triples \[T, 3\] of whole numbers or of names"),
        ({"train": torch.tensor([[0, 0, 5]]), "entities": ["a"]}, "tail 5 of triple 0 is out of range"),
    ],
)
def test_other_input_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        KnowledgeGraph.from_triples(**arguments)
