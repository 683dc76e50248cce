"""What the writers of figures share: the files of results/, where a figure is from, tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gsam.report import markdown, with_interval

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

#: the files that are read, and what makes them
COMMANDS: Mapping[str, str] = {
    "grid_preset": "python benchmarks/bench_grid.py preset",
    "grid_preset_transductive": "python benchmarks/bench_grid.py preset_transductive",
    "preset_time": "python benchmarks/bench_preset_time.py",
    "grid_table3_open": "python benchmarks/bench_grid.py table3_open",
    "episodes_1_threads": "python benchmarks/bench_episodes.py",
    "episodes_2_threads": "python benchmarks/bench_episodes.py --threads 2",
    "methods_1_threads": "python benchmarks/bench_methods.py",
    "scaling": "python benchmarks/bench_scaling.py",
    "optimizer_overhead_1_threads": "python benchmarks/bench_optimizer_overhead.py",
    "heterophilic_sage": "python benchmarks/bench_heterophilic.py",
    "bench_kill": "python benchmarks/bench_kill.py",
}

Result = dict[str, Any]
Lines = list[str]


def result(name: str) -> Result:
    """A file of results/.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"expected benchmarks/results/{name}.json, found none; run: {COMMANDS[name]}")
    found: Result = json.loads(path.read_text())
    return found


def source(name: str) -> str:
    """Where a figure is from: file, command, machine."""
    found = result(name)
    machine = found["environment"]
    processor = machine["device"].removeprefix("cpu: ")
    return (
        f"- `benchmarks/results/{name}.json`, `{found['command']}`: {processor}, {_processes(found)}, "
        f"torch {machine['torch']}, commit {machine['commit']}, {found['date']}"
    )


def _processes(found: Result) -> str:
    if "workers" in found:
        return f"{found['workers']} processes of 1 thread" if found["workers"] else "a process of 1 thread on each core"
    threads = found["environment"]["threads"]
    return f"{threads} thread" + ("s" if threads > 1 else "")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """A Markdown table, as lines."""
    return markdown(header, rows).splitlines()


def signed(difference: tuple[float, float | None]) -> str:
    """A difference with its interval."""
    return with_interval(*difference, sign=True)
