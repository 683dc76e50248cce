"""Memory over a long training: few-shot, knowledge graphs, and knowledge graphs in two processes, one after the other.

Each trains over and over on bundled data for a third of the time, from new weights whenever a training has ended, so
that everything a training makes is made and dropped many times. The resident size of all its processes is read from
outside once a second. The verdict is about the second half of that time: the least-squares slope must be below 1 MiB a
minute.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from bench_large import stored_dataset
from harness import save

from gsam.datasets import load_knowledge_graph, load_nodes
from gsam.distributed import join
from gsam.fewshot import FewShotRun, PreparedData
from gsam.fewshot import configure as configure_fewshot
from gsam.kg import KGRun
from gsam.kg import configure as configure_kg

BOUND = 1.0  # MiB a minute
OPTIMIZERS = ("adam", "fgsam+", "esam")


def fewshot() -> None:
    """One training and test of GPN after the other, exact ones in turn with drawn blocks on mapped features."""
    with tempfile.TemporaryDirectory() as folder:
        stored = stored_dataset(Path(folder), 50_000, 250_000)
        kinds = ((PreparedData(load_nodes("wordnet")), None), (PreparedData(stored), 5))
        for seed in itertools.count():
            data, limit = kinds[seed % 2]
            config = configure_fewshot(
                data.dataset.name,
                method="gpn",
                optimizer=OPTIMIZERS[seed % len(OPTIMIZERS)],
                seeds=(seed,),
                split="15,10,15",
                episodes=100,
                max_neighbors=limit,
                test_episodes=20,
            )
            FewShotRun(config, data).train(seed)
            print(seed, flush=True)


def kg() -> None:
    """One training of HyboNet with validations after the other."""
    graph = load_knowledge_graph("wordnet-mammals")
    for seed in itertools.count():
        optimizer = ("radam", "lorentz-sam")[seed % 2]
        config = configure_kg("wordnet-mammals", dim=32, optimizer=optimizer, epochs=3, validate_every=1, seed=seed)
        KGRun(config, graph).train()
        print(seed, flush=True)


def processes() -> None:
    """The same in two processes, whole tables in each in turn with split ones; epochs are long, of small batches."""
    ranks, graph = join(), load_knowledge_graph("wordnet-mammals")
    for seed in itertools.count():
        optimizer = ("radam", "lorentz-sam")[seed // 2 % 2]
        options: dict[str, Any] = {"epochs": 1, "batch_size": 50, "validate_every": 1, "seed": seed}
        config = configure_kg("wordnet-mammals", dim=32, optimizer=optimizer, **options)
        KGRun(config, graph, ranks=ranks, split_tables=seed % 2 == 1).train()
        if ranks.first:
            print(seed, flush=True)


PARTS: dict[str, Callable[[], None]] = {"fewshot": fewshot, "kg": kg, "processes": processes}
LAUNCHERS = {"processes": ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")}


def resident(process: psutil.Process) -> float:
    """MiB of a process and all that it has started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / 2**20


def watched(part: str, minutes: float) -> dict[str, Any]:
    """Resident size of what trains for so long, and the verdict."""
    command = [sys.executable, *LAUNCHERS.get(part, ()), __file__, "--part", part]
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output) as child:
        process, started, samples = psutil.Process(child.pid), time.monotonic(), []
        try:
            while (elapsed := time.monotonic() - started) < 60 * minutes:
                if child.poll() is not None:
                    raise RuntimeError(f"expected {part} to train on, found that it ended with code {child.returncode}")
                samples.append((elapsed / 60, resident(process)))
                time.sleep(1.0)
        finally:
            for one in (*process.children(recursive=True), process):
                one.kill()
            child.wait()
        output.seek(0)
        trainings = len(output.read().split())
    return {"minutes": minutes, "trainings": trainings, **verdict(samples)}


def verdict(samples: list[tuple[float, float]]) -> dict[str, Any]:
    """Slope of the second half, in MiB a minute, of pairs of minutes and MiB."""
    minutes, size = np.array(samples).T
    late = minutes >= minutes[-1] / 2
    slope = float(np.polyfit(minutes[late], size[late], 1)[0])
    return {
        "mib_a_minute": slope,
        "bound": BOUND,
        "flat": slope < BOUND,
        "first_mib_of_second_half": float(size[late][0]),
        "last_mib": float(size[-1]),
        "peak_mib": float(size.max()),
        "mib_by_minute": [float(size[minutes >= minute][0]) for minute in range(int(minutes[-1]) + 1)],
    }


def main() -> None:
    """Watch and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="train in this process, until it is stopped")
    parser.add_argument("--minutes", type=float, default=45.0, help="of all parts; nothing is saved below 45")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.part:
        PARTS[options.part]()
        return
    figures = {}
    for part in PARTS:
        figures[part] = watched(part, options.minutes / len(PARTS))
        print(part, figures[part], flush=True)
    if options.minutes >= 45:
        save("soak", figures)
    if not all(found["flat"] for found in figures.values()):
        raise SystemExit(f"expected less than {BOUND} MiB a minute in the second half")


if __name__ == "__main__":
    main()
