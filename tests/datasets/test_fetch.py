from __future__ import annotations

import http.client
import io
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import torch_geometric.datasets

from gsam.datasets import DatasetError, fetch, info, load

FAILURES = [
    urllib.error.URLError("no route"),
    urllib.error.HTTPError("http://x", 404, "Not Found", http.client.HTTPMessage(), None),
    TimeoutError("timed out"),
    ConnectionResetError("reset"),
    http.client.IncompleteRead(b""),
    aiohttp.ClientPayloadError("cut"),
]


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch_geometric.io.fs.cp", refuse)
    monkeypatch.setattr(torch_geometric.datasets.planetoid.fs, "cp", refuse)


@pytest.mark.parametrize("name", ["coauthor-cs", "cora", "actor", "chameleon-filtered"])
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_failing_download_names_file_folder_and_variable_and_leaves_nothing(
    name: str, error: Exception, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, monkeypatch)
    with pytest.raises(DatasetError) as raised:
        load(name)
    message, entry = str(raised.value), info(name)
    assert entry.files[0] in message
    assert str(empty_cache / entry.folder) in message
    assert "GSAM_DATA" in message
    assert type(error).__name__ in message
    assert "\n" not in message
    assert list(empty_cache.parent.iterdir()) == []


def test_a_download_cut_half_way_leaves_nothing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def second_fails(url: str, **_: Any) -> Any:
        calls.append(url)
        if len(calls) > 1:
            raise urllib.error.URLError("gone")
        return io.BytesIO(b"text")

    monkeypatch.setattr(urllib.request, "urlopen", second_fails)
    with pytest.raises(DatasetError):
        fetch("texas")
    assert len(calls) == 2
    assert not empty_cache.exists()


def test_the_folder_given_is_the_folder_named(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(FAILURES[0], monkeypatch)
    with pytest.raises(DatasetError, match=r"put amazon_electronics_photo\.npz into .*/there/Amazon/Photo/raw"):
        fetch("amazon-photo", folder=tmp_path / "there")


def test_a_full_disk_leaves_no_part(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"text"))

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(DatasetError, match="No space left"):
        fetch("amazon-photo")
    assert not [path for path in empty_cache.rglob("*") if path.is_file()]


def test_a_good_download_lands_in_pygs_layout_and_loads(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, benchmark_arrays: dict[str, Any], tmp_path: Path
) -> None:
    np.savez(tmp_path / "source.npz", **benchmark_arrays)
    asked: list[str] = []

    def serve(url: str, **_: Any) -> Any:
        asked.append(url)
        assert socket.getdefaulttimeout() is not None
        return (tmp_path / "source.npz").open("rb")

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    assert load("coauthor-physics").num_nodes == 40
    raw = empty_cache / "Coauthor/Physics/raw"
    assert [path.name for path in raw.iterdir()] == ["ms_academic_phy.npz"]
    assert asked == [torch_geometric.datasets.Coauthor.url + "ms_academic_phy.npz"]
    assert load("coauthor-physics").num_nodes == 40
    assert len(asked) == 1, "the second load must not download again"
    assert socket.getdefaulttimeout() is None


def test_out_overrides_the_folder(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, benchmark_arrays: dict[str, Any]
) -> None:
    np.savez(tmp_path / "source.npz", **benchmark_arrays)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: (tmp_path / "source.npz").open("rb"))
    assert fetch("squirrel-filtered", folder=tmp_path / "there") == tmp_path / "there/heterophilous-filtered"
    assert (tmp_path / "there/heterophilous-filtered/squirrel_filtered.npz").is_file()
    assert not empty_cache.exists()


def test_a_bundled_set_is_here_already(empty_cache: Path) -> None:
    assert (fetch("wordnet") / "wordnet.npz").is_file()
