from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsam.datasets import DatasetError, info
from gsam.datasets.manifest import read_manifest
from gsam.datasets.wordnet import DEFAULT_DICT, Synset, build_arrays, build_wordnet
from gsam.datasets.wordnet.pack import narrow, text_lines
from gsam.datasets.wordnet.source import SOURCE_FILES, source_hashes

SYNSETS = [
    Synset("n", "10", 5, ("Red_dog",), (("n", "10"), ("v", "10"), ("a", "99")), "a red animal"),
    Synset("n", "20", 20, ("oak",), (("n", "10"), ("n", "10")), "red tree"),
    Synset("v", "10", 30, ("grow",), (("n", "20"), ("n", "10")), "of a tree: rise"),
]
SENSES = {("n", "red_dog", "10"): 1, ("n", "oak", "20"): 2, ("v", "grow", "10"): 3}


def test_small_graph_by_hand() -> None:
    """Self-pointer, adjective and repeats go; offset 10 means two synsets; words of one synset only go."""
    arrays = build_arrays(SYNSETS, SENSES, min_synsets=2)
    assert arrays["label"].tolist() == [2, 17, 27]
    assert arrays["edge_count"].tolist() == [2, 1, 0]
    assert arrays["edge_target"].tolist() == [1, 2, 2]
    assert text_lines(arrays["vocabulary"]) == ["red", "tree"]
    assert arrays["word_count"].tolist() == [1, 2, 1]
    assert arrays["word"].tolist() == [0, 0, 1, 1]
    assert text_lines(arrays["lemma"]) == ["red_dog", "oak", "grow"]
    assert arrays["sense"].tolist() == [1, 2, 3]


def test_nothing_wraps_around() -> None:
    assert narrow([0, 255], np.uint8).tolist() == [0, 255]
    for values in ([256], [-1]):
        with pytest.raises(OverflowError, match="do not fit uint8"):
            narrow(values, np.uint8)


def test_existing_files_stay_without_force(tmp_path: Path) -> None:
    for name in SOURCE_FILES:
        (tmp_path / name).touch()
    (tmp_path / "MANIFEST.json").write_text("mine")
    with pytest.raises(DatasetError, match=r"MANIFEST\.json exists already; use --force"):
        build_wordnet(tmp_path, tmp_path)
    assert (tmp_path / "MANIFEST.json").read_text() == "mine"


def test_broken_sources_write_nothing(tmp_path: Path) -> None:
    for name in SOURCE_FILES:
        (tmp_path / name).write_text("nonsense\n")
    with pytest.raises(DatasetError, match=r"not the data files of WordNet 3\.0"):
        build_wordnet(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def recorded() -> dict[str, Any]:
    manifest = read_manifest(info("wordnet"))
    if not all((DEFAULT_DICT / name).is_file() for name in SOURCE_FILES):
        pytest.skip(f"WordNet's database files are not in {DEFAULT_DICT}: install wordnet-base")
    if source_hashes(DEFAULT_DICT) != manifest["source"]:
        pytest.skip(f"{DEFAULT_DICT} holds another build of WordNet than the bundled set was made from")
    return manifest


def test_the_bundled_set_can_be_built_again(recorded: dict[str, Any], tmp_path: Path) -> None:
    built = build_wordnet(DEFAULT_DICT, tmp_path)
    assert built["content_sha256"] == recorded["content_sha256"]
    compression = ("sha256", "bytes")  # differ between versions of zlib
    assert {k: v for k, v in built.items() if k not in compression} == {
        k: v for k, v in recorded.items() if k not in compression
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MANIFEST.json", "wordnet.npz"]
