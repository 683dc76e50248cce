from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gsam.datasets import DatasetError, info
from gsam.datasets.array_file import ArrayFile
from gsam.datasets.locations import BUNDLED
from gsam.datasets.manifest import intact, read_manifest
from gsam.datasets.wordnet.pack import content_hash


def test_the_bundled_file_is_the_recorded_one() -> None:
    manifest = read_manifest(info("wordnet"))
    path = BUNDLED / "wordnet" / "wordnet.npz"
    assert intact(info("wordnet"))
    assert path.stat().st_size == manifest["bytes"] < 4_000_000
    with ArrayFile(path) as arrays:
        names = arrays._archive.files
        assert content_hash({name: arrays[name] for name in names}) == manifest["content_sha256"]


def test_one_changed_byte_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUNDLED / "wordnet", tmp_path / "wordnet")
    monkeypatch.setattr("gsam.datasets.manifest.BUNDLED", tmp_path)
    assert intact(info("wordnet"))
    content = bytearray((tmp_path / "wordnet/wordnet.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "wordnet/wordnet.npz").write_bytes(content)
    assert not intact(info("wordnet"))


def test_only_bundled_sets_have_one() -> None:
    with pytest.raises(DatasetError, match="cora: no manifest"):
        read_manifest(info("cora"))
