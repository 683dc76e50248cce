"""What the benchmark scripts share: where results go, and what is written beside every figure."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gsam.environment import environment
from gsam.files import write_json

RESULTS = Path(__file__).resolve().parent / "results"


def save(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/NAME.json`` with the machine, the command and the date, and say so."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *_without_folder(sys.argv[1:])])
    date = datetime.now(timezone.utc).date().isoformat()
    write_json(RESULTS / f"{name}.json", {"command": command, "date": date, **figures, "environment": environment()})
    print(f"written: {RESULTS / name}.json")


def _without_folder(arguments: list[str]) -> list[str]:
    """The arguments but ``--out FOLDER``, which changes no figure."""
    if "--out" not in arguments:
        return arguments
    place = arguments.index("--out")
    return arguments[:place] + arguments[place + 2 :]


def alternating_minima(tasks: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Smallest seconds of each task over several rounds; tasks take turns, so a busy machine hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return {name: min(found) for name, found in seconds.items()}


def peak_memory_gib() -> float:
    """Largest resident size of this process so far."""
    scale = 2**20 if sys.platform.startswith("linux") else 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def median(values: Sequence[float]) -> float:
    """The middle value."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
