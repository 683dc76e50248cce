"""The commands under ``torchrun``: the result of one process, and what becomes of them when one dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tests.cli.conftest import QUICK as QUICK_EPISODES
from tests.cli.kg_runs import QUICK, write_folder
from tests.cli.test_resume import outcome


def start(command: list[str], out: Path, *options: str) -> subprocess.Popen[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gsam"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*torchrun, *command, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def test_a_process_that_is_killed_ends_the_job_which_can_be_resumed(tmp_path: Path) -> None:
    command = ["kg", "train", "--dataset", str(write_folder(tmp_path / "toy")), *QUICK, "--threads", "1"]
    command += ["--epochs", "16", "--validate-every", "7", "--patience", "1000"]
    command += ["--optimizer", "lorentz-sam", "--split-tables"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(command, whole, "--quiet")
    assert process.wait(timeout=200) == 0, process.stderr and process.stderr.read()
    told = {name: result(whole)["environment"][name] for name in ("processes", "ascent", "split_tables")}
    assert told == {"processes": 2, "ascent": "global", "split_tables": True}

    process = start(command, killed, "--quiet", "--checkpoint-every", "0.05")
    wait_for(killed / "checkpoints" / "rank-1" / "last.pt", process)
    children = [child for child in psutil.Process(process.pid).children(recursive=True) if "-m" in child.cmdline()]
    members = [child for child in children if child.environ().get("RANK") == "1"]
    members[-1].send_signal(signal.SIGKILL)
    _, told = process.communicate(timeout=100)
    assert process.returncode not in (0, None)
    assert "exitcode  : -9" in told or "Signal 9" in told
    assert not (killed / "results.json").exists()

    process = start(command, killed, "--quiet", "--resume")
    assert process.wait(timeout=200) == 0, process.stderr and process.stderr.read()
    assert outcome(killed) == outcome(whole)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(2000):
        assert process.poll() is None, "it ended before a checkpoint was written"
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"expected {path} within 100 seconds")


def test_one_line_for_what_the_user_can_put_right(tmp_path: Path, tiny: Path) -> None:
    command = ["fewshot", "run", "--dataset", str(tiny), *QUICK_EPISODES, "--optimizer", "adam"]
    process = start(command, tmp_path / "few", "--quiet")
    _, told = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "gsam: expected a meta_batch_size of at least 2, an episode for each process, found 1" in told
