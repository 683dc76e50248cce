"""Seconds per 200 training episodes of the default preset with each optimizer, on the graphs of configs/preset.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import alternating_minima, save

from gsam.datasets import load_nodes
from gsam.fewshot import FewShotRun, PreparedData, train_step
from gsam.fewshot.bench import BenchConfig, Cell, expand
from gsam.optim.recipes import recipe

CONFIG = Path(__file__).resolve().parent / "configs" / "preset.yaml"
OPTIMIZERS = ("adam", "sam", "fgsam", "fgsam+", "peer-mlp")


def training(run: FewShotRun, name: str, episodes: int) -> Callable[[], None]:
    """So many training episodes with an optimizer; blocks are cut inside, as in a real run."""
    method, chosen = run.build_method(0), recipe(name)
    optimizer = chosen.build(method.parameters(), lr=run.config.lr, weight_decay=run.config.weight_decay)
    tasks = run.samplers[0]["train"].take(episodes)
    method.train()

    def train() -> None:
        for episode in tasks:
            train_step(method, run.graph.inputs(episode), optimizer, chosen)

    return train


def measure(cell: Cell, data: PreparedData, episodes: int, rounds: int) -> dict[str, Any]:
    """Seconds and ratios of one data set in one setting."""
    run = FewShotRun(cell.configure(seeds=(0,)), data)
    tasks = {name: training(run, name, episodes) for name in OPTIMIZERS}
    seconds = {name: 200 * found / episodes for name, found in alternating_minima(tasks, rounds).items()}
    ratios = {name: found / seconds["adam"] for name, found in seconds.items()}
    return {"dataset": cell.dataset, "setting": cell.setting, "seconds_per_200_episodes": seconds, "over_adam": ratios}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=50, help="a multiple of the interval of FGSAM+")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    kept: dict[str, PreparedData] = {}
    for cell in expand(BenchConfig.from_file(CONFIG)):
        if cell.optimizer == "adam":
            name = cell.config.dataset
            kept = {name: kept.get(name) or PreparedData(load_nodes(name))}
            rows.append(measure(cell, kept[name], options.episodes, options.rounds))
            print(rows[-1]["dataset"], rows[-1]["setting"], {k: round(v, 2) for k, v in rows[-1]["over_adam"].items()})
    average = {name: sum(row["over_adam"][name] for row in rows) / len(rows) for name in OPTIMIZERS}
    print("average", {name: round(value, 2) for name, value in average.items()})
    save("preset_time", {"cells": rows, "average_over_adam": average})


if __name__ == "__main__":
    main()
