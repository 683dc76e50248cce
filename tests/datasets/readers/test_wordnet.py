from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.utils import contains_self_loops, is_undirected

from gsam.datasets import NodeDataset, info, load
from gsam.datasets.manifest import read_manifest


@pytest.fixture(scope="module")
def wordnet() -> NodeDataset:
    return load("wordnet")


def test_sizes_are_those_of_the_catalogue_and_the_manifest(wordnet: NodeDataset) -> None:
    manifest = read_manifest(info("wordnet"))
    sizes = (wordnet.num_nodes, wordnet.num_edges, wordnet.num_features, wordnet.num_classes)
    assert sizes == info("wordnet").sizes
    assert sizes[:3] == (manifest["nodes"], 2 * manifest["undirected_edges"], manifest["features"])
    counted = torch.bincount(wordnet.labels, minlength=41).tolist()
    assert dict(zip(wordnet.class_names, counted, strict=True)) == manifest["class_sizes"]


def test_graph_is_undirected_and_simple(wordnet: NodeDataset) -> None:
    assert not contains_self_loops(wordnet.edge_index)
    assert is_undirected(wordnet.edge_index, num_nodes=wordnet.num_nodes)
    assert len(torch.unique(wordnet.edge_index, dim=1).T) == wordnet.num_edges


def test_published_split_covers_the_classes_once(wordnet: NodeDataset) -> None:
    split = wordnet.class_splits["wordnet"]
    assert {part: len(classes) for part, classes in split.items()} == {"train": 15, "valid": 10, "test": 16}
    assert sorted(sum(split.values(), ())) == list(range(41))
    named = {part: [wordnet.class_names[label] for label in classes] for part, classes in split.items()}
    assert named == read_manifest(info("wordnet"))["class_split"]


def test_a_synset_everyone_knows(wordnet: NodeDataset) -> None:
    """dog.n.01: 'a member of the genus Canis (probably descended from the common wolf) ...', under canine.n.02."""
    dog, canine = (wordnet.node_names.index(name) for name in ("dog.n.01", "canine.n.02"))
    assert wordnet.class_names[int(wordnet.labels[dog])] == "noun.animal"
    neighbours = wordnet.edge_index[1][wordnet.edge_index[0] == dog].tolist()
    assert canine in neighbours
    words = {wordnet.feature_names[i] for i in np.flatnonzero(wordnet.features.rows(torch.tensor([dog])).to_dense()[0])}
    assert {"dog", "domestic", "genus", "wolf"} <= words
    assert not {"the", "of", "from"} & words


def test_names_are_unique_and_features_binary(wordnet: NodeDataset) -> None:
    assert len(set(wordnet.node_names)) == wordnet.num_nodes
    assert wordnet.features.value.unique().tolist() == [1.0]
    assert not [name for name in wordnet.feature_names if "." in name], "a class name has no place in the features"
