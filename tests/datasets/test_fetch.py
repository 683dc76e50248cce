from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import socket
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import torch_geometric.datasets

from gsam.datasets import DatasetError, fetch, info, load
from gsam.datasets.catalogue import CATALOGUE

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


@pytest.mark.parametrize("name", ["coauthor-cs", "cora", "actor", "chameleon-filtered", "ogbn-arxiv"])
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


def ogb_archive(files: tuple[str, ...]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in (*files, "RELEASE_v1.txt", "processed/data.pt"):
            archive.writestr(f"arxiv/{file}", file)
    return content.getvalue()


def serve_archive(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = info("ogbn-arxiv")
    assert entry.archive is not None
    known = entry.archive._replace(sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(CATALOGUE, "ogbn-arxiv", dataclasses.replace(entry, archive=known))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))


def test_an_archive_is_unpacked_into_its_folder(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = info("ogbn-arxiv")
    files = (*entry.files, *entry.optional_files)
    serve_archive(ogb_archive(files), monkeypatch)
    folder = fetch("ogbn-arxiv")
    assert folder == empty_cache / "ogbn_arxiv"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(files)
    assert all((folder / file).read_text() == file for file in files)


def test_an_archive_may_lack_what_is_optional(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_archive(ogb_archive(info("ogbn-arxiv").files), monkeypatch)
    assert not (fetch("ogbn-arxiv") / "mapping").exists()


def test_an_archive_without_a_needed_file(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_archive(ogb_archive(info("ogbn-arxiv").files[1:]), monkeypatch)
    with pytest.raises(DatasetError, match=r"the download brought no raw/edge\.csv\.gz"):
        fetch("ogbn-arxiv")
    assert not empty_cache.exists()


@pytest.mark.parametrize("content", [b"<html>moved</html>", b"PK cut"])
def test_something_else_than_the_archive(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))
    with pytest.raises(DatasetError, match=r"sha256 of .* expected 49f85c80.*put raw/edge"):
        fetch("ogbn-arxiv")
    with pytest.raises(DatasetError, match=r"BadZipFile.*products\.zip and put raw/edge"):
        fetch("ogbn-products")
    assert not empty_cache.exists()


def test_without_an_address_nothing_is_tried(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(AssertionError("the network was asked"), monkeypatch)  # type: ignore[arg-type]
    with pytest.raises(DatasetError) as raised:
        fetch("amazon-electronics")
    message = str(raised.value)
    assert "GPN_Graph-Few-shot" in message
    assert (
        f"put Amazon_eletronics_network, Amazon_eletronics_train.mat, Amazon_eletronics_test.mat into {empty_cache}"
        in message
    )
    assert "\n" not in message


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


def test_a_knowledge_graph_lands_in_its_folder(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def serve(url: str, **_: Any) -> Any:
        asked.append(url)
        return io.BytesIO(b"dog\t_hypernym\tanimal\n")

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    assert load("wn18rr").entities == ("dog", "animal")
    files = [f"{part}.txt" for part in ("train", "valid", "test")]
    assert sorted(path.name for path in (empty_cache / "WN18RR/raw").iterdir()) == sorted(files)
    assert asked == [f"{torch_geometric.datasets.WordNet18RR.url}/{file}" for file in files]
