"""Runs killed by SIGKILL in a process of their own, and resumed: the results of an undisturbed run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import QUICK as QUICK_EPISODES
from tests.cli.kg_runs import QUICK, write_folder

TIMES = {
    *("seconds", "epoch_seconds", "eval_seconds", "train_seconds", "validation_seconds", "epoch_seconds_median"),
    *("seconds_per_200_episodes", "seconds_per_epoch", "environment"),
}


def commands(place: Path, tiny: Path) -> dict[str, list[str]]:
    graph = write_folder(place / "toy")
    kg = [
        *QUICK,
        "--threads",
        "1",
        "--epochs",
        "40",
        "--validate-every",
        "7",
        "--patience",
        "1000",
        "--optimizer",
        "lorentz-sam",
    ]
    episodes = [*QUICK_EPISODES, "--episodes", "400", "--validate-every", "6", "--patience", "10000"]
    nodes = ["--split", "random", "--epochs", "1500", "--validate-every", "9", "--patience", "10000"]
    return {
        "kg": ["kg", "train", "--dataset", str(graph), *kg],
        "fewshot": ["fewshot", "run", "--dataset", str(tiny), *episodes, "--optimizer", "fgsam+"],
        "nodes": ["nodes", "run", "--dataset", str(tiny), *nodes, "--optimizer", "fgsam"],
    }


def start(command: list[str], out: Path) -> subprocess.Popen[bytes]:
    options = ["--out", str(out), "--quiet", "--resume", "--checkpoint-every", "0.05"]
    return subprocess.Popen([sys.executable, "-m", "gsam", *command, *options], stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, message = process.communicate(timeout=200)
    assert process.returncode == 0, message


def outcome(out: Path) -> Any:
    return {
        str(path.relative_to(out)): without_times(json.loads(path.read_text()))
        for path in sorted(out.rglob("*.json"))
        if path.name != "config.json"
    }


def without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if key not in TIMES}
    return [without_times(value) for value in content] if isinstance(content, list) else content


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kg", "fewshot", "nodes"])
def test_a_killed_run_ends_as_an_undisturbed_one(name: str, tmp_path: Path, tiny: Path) -> None:
    """The second start finds a checkpoint in the middle; the first one is killed as soon as there are two."""
    command = commands(tmp_path, tiny)[name]
    killed = tmp_path / "killed"
    process = start(command, killed)
    while process.poll() is None and not list(killed.rglob("previous.pt")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert list(killed.rglob("previous.pt"))
    assert not list(killed.rglob("results.json"))
    finish(start(command, killed))
    assert not list(killed.rglob("checkpoints"))
    finish(start(command, tmp_path / "whole"))
    (left := next(killed.rglob("history.json")).parent / "checkpoints").mkdir()  # as if killed at the very end
    (left / "last.pt").write_bytes(b"")
    finish(start(command, killed))
    assert not left.exists()
    assert outcome(killed) == outcome(tmp_path / "whole")
