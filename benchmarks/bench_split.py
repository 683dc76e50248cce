"""Entity tables split over two processes, against whole ones in each and against one process: memory, time, losses.

A random knowledge graph of 2.5 million entities; HyboNet with 200 coordinates an entity trains one epoch with radam,
is validated, and ranks both sides of the test triples among all entities. Each of the three is started anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench_large import DIM, ENTITIES, random_graph
from harness import peak_memory_gib, save

from gsam.distributed import join, leave
from gsam.kg import KGRun, configure, rank
from gsam.kg.groups import entity_tables

TRIPLES, RANKED = 50_000, 50
#: processes, and whether they split the tables
PARTS = {"one": (1, False), "whole": (2, False), "split": (2, True)}


def measure(split: bool, shrink: int) -> dict[str, Any]:
    """One epoch and one ranking, in this process of the group."""
    torch.set_num_threads(1)
    ranks = join()
    graph = random_graph(ENTITIES // shrink, TRIPLES // shrink, RANKED)
    run = KGRun(configure("random", dim=DIM, epochs=1, optimizer="radam"), graph, ranks=ranks, split_tables=split)
    model, history = run.train()
    started = time.perf_counter()
    found = rank(model, graph, "test", known=run.known, ranks=ranks).metrics()["both"]
    entries = sum(table.weight.numel() for table in entity_tables(model).values())
    try:
        return {
            "entities": graph.num_entities,
            "triples": len(graph.train),
            "coordinates": DIM + 1,
            "tables_gib": [count * 4 / 2**30 for count in ranks.gather(entries)],
            "peak_memory_gib": ranks.gather(peak_memory_gib()),
            "epoch_seconds": history.epoch_seconds[0],
            "queries": found["count"],
            "ranking_seconds": time.perf_counter() - started,
            "loss": history.epoch_loss[0],
            "mrr": found["mrr"],
        }
    finally:
        leave()


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="be a process of this one")
    parser.add_argument("--out", help="file for what the processes of a part find")
    parser.add_argument("--shrink", type=int, default=1, help="divide sizes by this; nothing is saved unless it is 1")
    options = parser.parse_args()
    if options.part:
        found = measure(PARTS[options.part][1], options.shrink)
        Path(options.out).write_text(json.dumps(found))
        return
    figures: dict[str, Any] = {}
    for part, (processes, _) in PARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "found.json"
            launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
            own = [__file__, "--part", part, "--out", str(out), "--shrink", str(options.shrink)]
            subprocess.run([sys.executable, *launcher, *own], check=True)
            figures[part] = {"processes": processes, **json.loads(out.read_text())}
        print(part, figures[part], flush=True)
    for part in ("whole", "split"):
        figures[part]["relative_loss_difference"] = abs(figures[part]["loss"] / figures["one"]["loss"] - 1)
    if options.shrink == 1:
        save("split", figures)


if __name__ == "__main__":
    main()
