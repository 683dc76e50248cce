from __future__ import annotations

import numpy as np
import pytest
import torch

from gsam.datasets import KnowledgeGraph, TripleSizes, info, load
from gsam.datasets.manifest import read_manifest

NAMES = ["wordnet-mammals", "wordnet-nouns"]


@pytest.fixture(scope="module")
def graphs() -> dict[str, KnowledgeGraph]:
    return {"wordnet-mammals": load("wordnet-mammals"), "wordnet-nouns": load("wordnet-nouns")}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_those_of_the_catalogue_and_the_manifest(name: str, graphs: dict[str, KnowledgeGraph]) -> None:
    graph, manifest = graphs[name].validate(), read_manifest(info(name))
    counts = {split: len(graph.split(split)) for split in ("train", "valid", "test")}
    assert TripleSizes(graph.num_entities, graph.num_relations, **counts) == info(name).sizes
    assert counts == manifest["triples"]
    assert manifest["bytes"] < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_every_entity_is_seen_in_training_and_no_triple_twice(name: str, graphs: dict[str, KnowledgeGraph]) -> None:
    graph = graphs[name]
    assert len(graph.train[:, [0, 2]].unique()) == graph.num_entities == len(set(graph.entities))
    assert len(graph.all_triples().unique(dim=0)) == len(graph.all_triples())


def test_no_pair_of_nouns_is_in_two_splits(graphs: dict[str, KnowledgeGraph]) -> None:
    """So neither the mirror image of a triple nor another relation of its pair gives it away."""
    graph = graphs["wordnet-nouns"]
    pairs = {
        split: {frozenset(pair) for pair in graph.split(split)[:, [0, 2]].tolist()}
        for split in ("train", "valid", "test")
    }
    assert not pairs["train"] & pairs["test"]
    assert not pairs["train"] & pairs["valid"]
    assert not pairs["valid"] & pairs["test"]


def test_nouns_have_one_direction_of_every_inverse_pair(graphs: dict[str, KnowledgeGraph]) -> None:
    """A relation is either fully symmetric or has no mirrored triple at all, and no two relations are inverse."""
    triples = graphs["wordnet-nouns"].all_triples().numpy()
    forward = {r: {(h, t) for h, _, t in triples[triples[:, 1] == r].tolist()} for r in range(10)}
    names = graphs["wordnet-nouns"].relations
    symmetric = {names[r] for r, pairs in forward.items() if pairs == {(t, h) for h, t in pairs}}
    assert symmetric == {"antonym", "derivationally_related_form"}
    for r, pairs in forward.items():
        for other, others in forward.items():
            mirrored = len(pairs & {(t, h) for h, t in others})
            if r != other or names[r] not in symmetric:
                assert mirrored <= 0.05 * min(len(pairs), len(others)), (names[r], names[other])


def test_what_everyone_knows(graphs: dict[str, KnowledgeGraph]) -> None:
    graph = graphs["wordnet-nouns"]
    known = [
        ("dog.n.01", "hypernym", "canine.n.02"),
        ("einstein.n.01", "instance_hypernym", "physicist.n.01"),
        ("car.n.01", "has_part", "accelerator.n.01"),
        ("forest.n.01", "has_member", "tree.n.01"),
        ("man.n.01", "antonym", "woman.n.01"),
        ("woman.n.01", "antonym", "man.n.01"),
    ]
    triples = {tuple(row) for row in graph.all_triples().tolist()}
    for head, relation, tail in known:
        row = graph.entity_index(head), graph.relation_index(relation), graph.entity_index(tail)
        assert row in triples, (head, relation, tail)


def test_mammals_are_a_closed_hierarchy(graphs: dict[str, KnowledgeGraph]) -> None:
    """The relation is transitive, has no cycle, and everything is below the root."""
    graph = graphs["wordnet-mammals"]
    matrix = np.zeros((graph.num_entities, graph.num_entities), dtype=np.int64)
    head, _, tail = graph.all_triples().unbind(dim=1)
    matrix[head, tail] = 1
    assert not ((matrix @ matrix > 0) & (matrix == 0)).any()
    assert not (matrix & matrix.T).any()
    root = graph.entity_index("mammal.n.01")
    assert matrix[:, root].sum() == graph.num_entities - 1
    assert matrix[root].sum() == 0


def test_direct_hypernyms_of_mammals_stay_in_training(graphs: dict[str, KnowledgeGraph]) -> None:
    """A triple is held out only if training leads from its head to its tail in smaller steps."""
    graph = graphs["wordnet-mammals"]
    train = np.zeros((graph.num_entities, graph.num_entities), dtype=np.int64)
    train[graph.train[:, 0], graph.train[:, 2]] = 1
    reached = train
    for _ in range(4):
        reached = ((reached + reached @ reached) > 0).astype(np.int64)
    held = torch.cat([graph.valid, graph.test])
    assert reached[held[:, 0], held[:, 2]].all()


def test_depths(graphs: dict[str, KnowledgeGraph]) -> None:
    """The depth is the length of the shortest chain of direct hypernyms up to the root."""
    graph = graphs["wordnet-mammals"]
    depth = graph.entity_depth
    assert depth is not None
    assert depth.shape == (graph.num_entities,)
    assert graph.entities[int(depth.argmin())] == "mammal.n.01"
    head, _, tail = graph.all_triples().unbind(dim=1)
    parents = {node: set(tail[head == node].tolist()) for node in range(graph.num_entities)}
    for node, above in parents.items():
        direct = above - {far for near in above for far in parents[near]}
        assert int(depth[node]) == (1 + min(int(depth[parent]) for parent in direct) if direct else 0)
    assert graphs["wordnet-nouns"].entity_depth is None
