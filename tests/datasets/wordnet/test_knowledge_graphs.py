from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsam.datasets import DatasetError, info
from gsam.datasets.array_file import ArrayFile
from gsam.datasets.locations import BUNDLED
from gsam.datasets.manifest import intact, read_manifest
from gsam.datasets.wordnet import DEFAULT_DICT, Synset, build_knowledge_graph, build_mammals, build_nouns
from gsam.datasets.wordnet.knowledge_graphs import RELATIONS
from gsam.datasets.wordnet.pack import content_hash, text_lines
from gsam.datasets.wordnet.source import NOUN_FILES, source_hashes

NAMES = ["wordnet-mammals", "wordnet-nouns"]
CODE = {name: number for number, name in enumerate(RELATIONS.values())}


def synset(offset: str, lemma: str, *pointers: tuple[str, str]) -> Synset:
    targets = tuple((target[0], target[1:]) for _, target in pointers)
    return Synset("n", offset, 5, (lemma,), targets, "", tuple(symbol for symbol, _ in pointers))


# offsets out of order, another tree beside it, a diamond below dog, and a second sense of mammal
TREE = [
    synset("90", "Dog", ("@", "n50"), ("%p", "n80"), ("@i", "n70")),
    synset("50", "carnivore", ("@", "n10"), ("~", "n90")),
    synset("10", "mammal", ("@", "n70"), ("~", "n50")),
    synset("70", "animal", ("~", "n10")),
    synset("80", "tail", ("@", "n70"), ("#p", "n90")),
    synset("30", "puppy", ("@", "n90"), ("@", "n20")),
    synset("20", "pet", ("@", "n10"), ("@", "n80")),
    synset("95", "mammal", ("@", "n80")),
]
SENSES = {("n", s.lemmas[0].lower(), s.offset): 1 for s in TREE} | {("n", "mammal", "95"): 2}


def test_mammals_by_hand() -> None:
    arrays = build_mammals(TREE, SENSES)
    names = text_lines(arrays["lemma"])
    assert names == ["dog", "carnivore", "mammal", "puppy", "pet"]
    assert text_lines(arrays["relation"]) == ["hypernym"]
    assert arrays["depth"].tolist() == [2, 1, 0, 2, 1], "a puppy is a pet: the shorter way counts"
    direct = {("dog", "carnivore"), ("carnivore", "mammal"), ("puppy", "dog"), ("puppy", "pet"), ("pet", "mammal")}
    indirect = {("dog", "mammal"), ("puppy", "carnivore"), ("puppy", "mammal")}
    found = {split: {(names[h], names[t]) for h, _, t in arrays[split].T} for split in ("train", "valid", "test")}
    assert found["train"] | found["valid"] | found["test"] == direct | indirect
    assert direct <= found["train"]


NOUNS = [
    synset("1", "a", ("@", "n2"), ("!", "n3"), ("%m", "n2"), ("+", "v4"), ("+", "n1"), ("=", "a5")),
    synset("2", "b", ("~", "n1"), ("#m", "n1"), ("+", "n1"), ("+", "n1"), (";c", "n3")),
    synset("3", "c", ("!", "n1"), ("-c", "n2"), ("%p", "n2"), ("@i", "n1")),
]


def test_nouns_by_hand() -> None:
    """Inverses, verbs, adjectives, loops and repeats go; what is symmetric is listed both ways."""
    arrays = build_nouns(NOUNS, {("n", s.lemmas[0], s.offset): 4 for s in NOUNS})
    rows = np.concatenate([arrays[split].T for split in ("train", "valid", "test")])
    named = {(head, list(CODE)[relation], tail) for head, relation, tail in rows.tolist()}
    assert len(named) == len(rows)
    assert named == {
        (0, "hypernym", 1),
        (0, "antonym", 2),
        (2, "antonym", 0),
        (0, "has_member", 1),
        (0, "derivationally_related_form", 1),
        (1, "derivationally_related_form", 0),
        (1, "topic_domain", 2),
        (2, "has_part", 1),
        (2, "instance_hypernym", 0),
    }
    assert arrays["sense"].tolist() == [4, 4, 4]
    assert "depth" not in arrays


@pytest.fixture(params=NAMES)
def recorded(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    manifest = read_manifest(info(request.param))
    if not all((DEFAULT_DICT / name).is_file() for name in NOUN_FILES):
        pytest.skip(f"WordNet's database files are not in {DEFAULT_DICT}: install wordnet-base")
    if source_hashes(DEFAULT_DICT, NOUN_FILES) != manifest["source"]:
        pytest.skip(f"{DEFAULT_DICT} holds another build of WordNet than the bundled set was made from")
    return request.param, manifest


def test_the_bundled_set_can_be_built_again(recorded: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    name, manifest = recorded
    built = build_knowledge_graph(name, DEFAULT_DICT, tmp_path)
    compression = ("sha256", "bytes")  # differ between versions of zlib
    assert {k: v for k, v in built.items() if k not in compression} == {
        k: v for k, v in manifest.items() if k not in compression
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MANIFEST.json", f"{name}.npz"]
    with pytest.raises(DatasetError, match="exists already; use --force"):
        build_knowledge_graph(name, DEFAULT_DICT, tmp_path)


def test_mammals_are_those_that_the_other_direction_gives() -> None:
    """Counted from the hyponym pointers of the data file, which the builder does not use."""
    path = DEFAULT_DICT / "data.noun"
    if not path.is_file():
        pytest.skip(f"WordNet's database files are not in {DEFAULT_DICT}: install wordnet-base")
    below: dict[str, set[str]] = {}
    lemma: dict[str, str] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        fields = line.split(" | ")[0].split(" ")
        if line.startswith("  "):
            continue
        lemma[fields[0]] = fields[4]
        below[fields[0]] = {fields[i + 1] for i, field in enumerate(fields) if field == "~"}
    root = next(offset for offset, name in lemma.items() if name == "mammal")

    def descendants(offset: str) -> set[str]:
        return below[offset].union(*(descendants(child) for child in below[offset]))

    nodes = descendants(root) | {root}
    manifest = read_manifest(info("wordnet-mammals"))
    assert manifest["entities"] == len(nodes)
    assert sum(manifest["triples"].values()) == sum(len(descendants(node)) for node in nodes)


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_file_is_the_recorded_one(name: str) -> None:
    manifest = read_manifest(info(name))
    assert intact(info(name))
    with ArrayFile(BUNDLED / name / f"{name}.npz") as arrays:
        names = arrays._archive.files
        assert content_hash({array: arrays[array] for array in names}) == manifest["content_sha256"]
        assert all(arrays[split].dtype == np.int32 for split in ("train", "valid", "test"))
    assert (BUNDLED / name / "LICENSE").read_text() == (BUNDLED / "wordnet/LICENSE").read_text()


def test_missing_and_broken_sources(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"missing data\.noun, index\.noun of WordNet 3\.0; .*wordnet-base"):
        build_knowledge_graph("wordnet-nouns", tmp_path, tmp_path / "out")
    for name in NOUN_FILES:
        (tmp_path / name).write_text("nonsense\n")
    with pytest.raises(DatasetError, match=r"not the data files of WordNet 3\.0"):
        build_knowledge_graph("wordnet-nouns", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
