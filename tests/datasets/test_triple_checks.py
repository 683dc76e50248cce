from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph, OfficialNegatives
from gsam.datasets.triple_checks import check_graph, check_negatives, check_triples


@pytest.fixture
def graph() -> KnowledgeGraph:
    train = torch.tensor([[0, 0, 1], [1, 1, 2]])
    return KnowledgeGraph("g", train, train[:1], train[1:], ("a", "b", "c"), ("r", "s"))


def test_a_good_graph_passes(graph: KnowledgeGraph) -> None:
    check_graph(graph)
    assert graph.validate() is graph


@pytest.mark.parametrize(
    ("triples", "message"),
    [
        (torch.tensor([[0, 0, 1], [0, 0, 3]]), "tail 3 of triple 1 is out of range: expected 0 to 2"),
        (torch.tensor([[0, 2, 1]]), "relation 2 of triple 0 is out of range: expected 0 to 1"),
        (torch.tensor([[-1, 0, 1]]), "head -1 of triple 0 is out of range"),
        (torch.tensor([[0, 0, 1]], dtype=torch.int32), "expected triples as int64"),
        (torch.tensor([[0, 1]]), r"found torch\.int64 of shape \[1, 2\]"),
        (torch.tensor([0, 0, 1]), r"of shape \[3\]"),
    ],
)
def test_bad_triples_are_named(triples: torch.Tensor, message: str) -> None:
    with pytest.raises(DatasetError, match=rf"^here: .*{message}"):
        check_triples(triples, 3, 2, "here")


def test_bad_graphs_are_refused(graph: KnowledgeGraph) -> None:
    none = graph.train[:0]
    unseen = {"train": graph.train[:1], "test": graph.train[1:]}
    cases: list[tuple[dict[str, object], str]] = [
        ({"train": none, "valid": none, "test": none}, "g, train: expected at least one triple"),
        ({"entities": ("a", "b", "a")}, "g: entity 'a' is named twice"),
        ({"relations": ("r", "r")}, "g: relation 'r' is named twice"),
        ({"entities": ("a", "b")}, "g, train: tail 2 of triple 1 is out of range"),
        (unseen, "g, test: relation 's' of triple 0 does not occur in train"),
    ]
    for changes, message in cases:
        with pytest.raises(DatasetError, match=message):
            replace(graph, **changes).validate()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (torch.tensor([[0, 3]]), "negative heads: 0 to 3 found, expected 0 to 2"),
        (torch.tensor([[-1, 1]]), "-1 to 1 found"),
        (torch.tensor([[0], [1]]), r"expected whole numbers \[1, K\], found torch\.int64 of shape \[2, 1\]"),
        (torch.tensor([[0.0]]), r"found torch\.float32"),
    ],
)
def test_bad_negatives_are_named(graph: KnowledgeGraph, heads: torch.Tensor, message: str) -> None:
    good = OfficialNegatives(torch.tensor([[0, 1, 2]]), torch.tensor([[2]]))
    check_negatives(replace(graph, negatives={"test": good}))
    with pytest.raises(DatasetError, match=f"^g, test: .*{message}"):
        check_negatives(replace(graph, negatives={"test": good._replace(heads=heads)}))
