"""``gsam fewshot bench`` from outside: what it writes, what it refuses, and that no signal changes a table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from gsam.cli.app import app
from gsam.fewshot import FewShotRun, NonFiniteError

TABLES = ("table.md", "table.csv", "table.tex", "chosen.md", "chosen.csv")


@pytest.fixture
def write(tiny: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration; keywords replace keys."""

    def build(name: str = "grid.yaml", **changes: Any) -> Path:
        content = {
            "datasets": [{"name": str(tiny), "split": "3,3,3"}],
            "settings": [{"ways": 2, "shots": 3}],
            "methods": ["gpn"],
            "optimizers": ["adam", "fgsam+"],
            "seeds": [0, 1],
            "episodes": 10,
            "validation_episodes": 3,
            "test_episodes": 5,
            **changes,
        }
        (tmp_path / name).write_text(yaml.safe_dump(content))
        return tmp_path / name

    return build


def here(*arguments: object) -> Any:
    """The command in this process: fast, but for what becomes of errors."""
    return CliRunner().invoke(app, ["fewshot", "bench", *map(str, arguments)])


def test_it_writes_tables_pictures_and_results(write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = here(write(), "--out", out, "--workers", 1)
    assert done.exit_code == 0, done.output
    names = {"table.md", "table.csv", "table.tex", "timing.md", "timing.csv", "results.json", "config.yaml", "cells"}
    assert {path.name for path in out.iterdir()} == names | {"accuracy_time.png", "differences.png", ".gsam"}
    results = json.loads((out / "results.json").read_text())
    assert [result["optimizer"] for result in results] == ["adam", "fgsam+"]
    for result in results:
        for record in result["per_seed"]:
            folder = out / "cells" / f"tiny_2w3s_gpn_{result['optimizer']}" / f"seed-{record['seed']}"
            assert json.loads((folder / "record.json").read_text()) == record
        assert f"{result['accuracy_mean']:.2f}" in (out / "table.md").read_text()
        assert f"{result['accuracy_mean']:.2f}" in done.output
    assert "[4/4] tiny 2w3s gpn fgsam+ seed 1: test accuracy" in done.output
    again = here(write(), "--out", out, "--workers", 1, "--resume")
    assert "4 of 4 units are finished" in again.output
    assert "[4/4]" not in again.output


def test_quiet_says_nothing(write, tmp_path: Path) -> None:
    done = here(write(), "--out", tmp_path / "out", "--workers", 1, "--quiet")
    assert (done.exit_code, done.output) == (0, "")


def test_a_failed_unit_is_shown_and_said_at_the_end(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, record = tmp_path / "out", FewShotRun.record

    def diverging(run: FewShotRun, seed: int, *arguments: Any, **options: Any) -> dict[str, Any]:
        if (run.config.optimizer, seed) == ("fgsam+", 1):
            raise NonFiniteError("expected finite logits, found NaN")
        return record(run, seed, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FewShotRun, "record", diverging)
        done = here(write(), "--out", out, "--workers", 1)
    assert isinstance(done.exception, ValueError)  # main() makes one line and exit code 2 of it
    assert "found 1 failed" in str(done.exception)
    assert "found NaN" in str(done.exception)
    assert "failed (1 of 2 seeds)" in (out / "table.md").read_text()
    assert "nan" not in (out / "table.md").read_text().lower()
    assert here(write(), "--out", out, "--workers", 1, "--resume").exit_code == 0
    assert "failed" not in (out / "table.md").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser": ["adam"]}, "did you mean 'optimizers'"),
        ({"datasets": ["nope"]}, "unknown data set 'nope'"),
        ({"settings": [{"ways": 4, "shots": 3}]}, "at least 4 classes"),
        ({"lr": "fast"}, "lr: expected a finite number"),
    ],
)
def test_bad_configurations_are_refused_before_anything_is_written(write, tmp_path, changes, words: str) -> None:
    done = here(write(**changes), "--out", tmp_path / "out")
    assert isinstance(done.exception, ValueError)
    assert words in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_bad_workers_are_refused(write, tmp_path: Path) -> None:
    done = here(write(), "--out", tmp_path / "out", "--workers", 0)
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_refusal_is_one_line_and_code_2(gsam, write, tmp_path: Path) -> None:
    done = gsam("fewshot", "bench", write(seeds=[]), "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "grid.yaml: seeds: expected" in done.stderr


def test_help_shows_an_example() -> None:
    assert isinstance(app, typer.Typer)
    assert "benchmarks/configs/smoke.yaml" in here("--help").output


class Killed:
    """The command in a group of its own, with two workers."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "gsam", "fewshot", "bench", *map(str, arguments), "--workers", "2"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def wait_for(self, out: Path, pattern: str, count: int) -> None:
        while len(list(out.glob(pattern))) < count:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Exit code and what it said, after every process of the group is gone."""
        try:
            self.process.wait(timeout=120)
            deadline = time.monotonic() + 20
            while _alive(self.process.pid):
                assert time.monotonic() < deadline, "expected no worker to outlive the command"
                time.sleep(0.05)
        finally:
            if _alive(self.process.pid):
                os.killpg(self.process.pid, signal.SIGKILL)
        with self.process.stderr as stream:
            return self.process.returncode, stream.read()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals to a group are those of POSIX")
def test_signals_change_no_table(write, tmp_path: Path) -> None:
    """Ctrl-C in a search, then the command killed among the seeds, then resumed: the tables of an undisturbed run."""
    search = {"trials": 3, "seeds": [9], "episodes": 20, "space": {"lr": [1e-3, 1e-1, "log"], "k": [2, 5]}}
    config, out = write(search=search, seeds=[0, 1, 2, 3], episodes=60), tmp_path / "parts"
    assert here(config, "--out", tmp_path / "whole", "--workers", 1).exit_code == 0

    first = Killed(config, "--out", out, "--quiet")
    first.wait_for(out, "cells/*/search/trial-*.json", 1)
    os.killpg(first.process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    code, said = first.end()
    assert (code, said.count("\n")) == (130, 1), said
    assert "--resume" in said

    second = Killed(config, "--out", out, "--quiet", "--resume")
    second.wait_for(out, "cells/*/seed-*/record.json", 2)
    second.process.kill()  # the command alone; its workers must notice
    assert second.end()[0] == -signal.SIGKILL
    assert not (out / "results.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/*/*.json") if path.name != "split.json"}

    code, said = Killed(config, "--out", out, "--quiet", "--resume").end()
    assert code == 0, said
    for name in TABLES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    finished = [path for path in kept if path.name != "history.json"]
    assert all(path.stat().st_mtime_ns == kept[path] for path in finished)
