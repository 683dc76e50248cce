from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import gsam
from gsam import environment as environment_module
from gsam.environment import environment

KEYS = {"gsam", "torch", "torch_geometric", "geoopt", "python", "device", "threads", "commit"}


def test_record() -> None:
    found = environment()
    assert found.keys() == KEYS
    assert found["gsam"] == gsam.__version__
    assert found["torch"] == torch.__version__
    assert found["torch_geometric"] == version("torch-geometric")
    assert found["geoopt"] == version("geoopt")
    assert found["python"] == platform.python_version()
    assert found["device"].startswith("cpu: ")
    assert found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_threads_are_those_in_force() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert environment()["threads"] == before + 1
    finally:
        torch.set_num_threads(before)


def test_missing_package_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise environment_module.PackageNotFoundError(name)

    monkeypatch.setattr(environment_module, "version", absent)
    assert environment()["geoopt"] is None


def git(folder: Path, *arguments: str) -> str:
    options = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree of its own, with the module pretending to be in it."""
    try:
        git(tmp_path, "init", "-q")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git is not here")
    (tmp_path / "gsam").mkdir()
    (tmp_path / "gsam" / "environment.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(environment_module, "__file__", str(tmp_path / "gsam" / "environment.py"))
    return tmp_path


def test_commit_and_changes(tree: Path) -> None:
    head = git(tree, "rev-parse", "HEAD")
    assert environment()["commit"] == head[:12]
    (tree / "untracked.txt").write_text("results do not change the code")
    assert environment()["commit"] == head[:12]
    (tree / "gsam" / "environment.py").write_text("x = 2\n")
    assert environment()["commit"] == head[:12] + "+"


def test_no_commit_outside_a_source_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed below some other repository, that repository's commit is not ours."""
    (tree / "site-packages" / "gsam").mkdir(parents=True)
    monkeypatch.setattr(environment_module, "__file__", str(tree / "site-packages" / "gsam" / "environment.py"))
    assert environment()["commit"] is None


def test_no_commit_without_git(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree))
    assert environment()["commit"] is None


def test_no_commit_in_an_empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(environment_module, "__file__", str(tmp_path / "gsam" / "environment.py"))
    assert environment()["commit"] is None


def test_processor_where_linux_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert environment_module._processor() == f"cpu: {platform.machine()}"

    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert environment_module._processor().startswith("cpu: ")
