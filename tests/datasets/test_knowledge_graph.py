from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph


@pytest.fixture
def graph() -> KnowledgeGraph:
    return KnowledgeGraph.from_triples(
        [("dog", "is_a", "animal"), ("cat", "is_a", "animal"), ("cat", "fears", "dog")],
        [("dog", "fears", "cat")],
        [("cat", "is_a", "dog"), ("dog", "is_a", "dog")],
        name="pets",
    )


def test_sizes_and_text(graph: KnowledgeGraph) -> None:
    assert (graph.num_entities, graph.num_relations) == (3, 2)
    assert repr(graph) == "KnowledgeGraph('pets': 3 entities, 2 relations, 3 / 1 / 2 triples)"


def test_splits_by_name(graph: KnowledgeGraph) -> None:
    assert graph.split("valid") is graph.valid
    assert torch.equal(graph.all_triples(), torch.cat([graph.train, graph.valid, graph.test]))
    with pytest.raises(DatasetError, match="expected split train, valid or test, found 'val'"):
        graph.split("val")


def test_every_name_has_its_number(graph: KnowledgeGraph) -> None:
    assert [graph.entity_index(name) for name in graph.entities] == [0, 1, 2]
    assert [graph.relation_index(name) for name in graph.relations] == [0, 1]


def test_unknown_names_list_close_ones(graph: KnowledgeGraph) -> None:
    with pytest.raises(DatasetError, match=r"^unknown entity of pets 'Dog': did you mean dog\?$"):
        graph.entity_index("Dog")
    with pytest.raises(DatasetError, match=r"^unknown relation of pets 'isa': did you mean is_a\?$"):
        graph.relation_index("isa")


def test_copies_are_equal(graph: KnowledgeGraph) -> None:
    graph.entity_index("dog")  # the look-up table is kept
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert torch.equal(other.train, graph.train)
        assert other.entities == graph.entities
        assert other.entity_index("cat") == graph.entity_index("cat")
