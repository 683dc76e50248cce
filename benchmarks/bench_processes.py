"""Two processes under ``torchrun`` against one: loss curves, weights and seconds.

With a global ascent they must give the training of one process on the joint batch, with a local one that of m-SAM with
two shards. Each pair runs through the commands, in float32 and without dropout, which every process draws by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import save

FEWSHOT = (
    *("fewshot", "run", "--dataset", "wordnet", "--split", "wordnet", "--method", "gpn", "--dropout", "0"),
    *("--episodes", "60", "--validate-every", "4", "--validation-episodes", "4", "--test-episodes", "5"),
    *("--meta-batch-size", "2"),
)
NODES = (
    *("nodes", "run", "--dataset", "wordnet", "--split", "random", "--model", "sage", "--dropout", "0"),
    *("--epochs", "20"),
)
KG = (
    *("kg", "train", "--dataset", "wordnet-mammals", "--dim", "10", "--epochs", "6", "--validate-every", "3"),
    *("--threads", "1"),
)
REPEATS = 3  # of which the quickest counts
#: what two processes run, what one process runs that must be the same, and the ascent
PAIRS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "fewshot, sam": ((*FEWSHOT, "--optimizer", "sam"), (*FEWSHOT, "--optimizer", "sam"), "global"),
    "fewshot, fgsam+": ((*FEWSHOT, "--optimizer", "fgsam+"), (*FEWSHOT, "--optimizer", "fgsam+"), "global"),
    "nodes, sam": ((*NODES, "--optimizer", "sam"), (*NODES, "--optimizer", "sam"), "global"),
    "kg, lorentz-sam": ((*KG, "--optimizer", "lorentz-sam"), (*KG, "--optimizer", "lorentz-sam"), "global"),
    "kg, lorentz-sam, tables split": (
        (*KG, "--optimizer", "lorentz-sam", "--split-tables"),
        (*KG, "--optimizer", "lorentz-sam"),
        "global",
    ),
    "kg, radam": ((*KG, "--optimizer", "radam"), (*KG, "--optimizer", "radam"), "global"),
    "nodes, sam against msam": ((*NODES, "--optimizer", "sam"), (*NODES, "--optimizer", "msam"), "local"),
}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair", choices=PAIRS, action="append", help="only this one; nothing is saved")
    options = parser.parse_args()
    figures: dict[str, Any] = {"pairs": {}}
    with tempfile.TemporaryDirectory() as place:
        for name in options.pair or PAIRS:
            figures["pairs"][name] = found = compare(*PAIRS[name], place=Path(place) / name)
            print(name, found, flush=True)
    if not options.pair:
        save("processes", figures)


def compare(two: tuple[str, ...], one: tuple[str, ...], ascent: str, *, place: Path) -> dict[str, Any]:
    """Run both and compare them."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gsam"]
    seconds: dict[str, list[float]] = {"two": [], "one": []}
    for turn in range(REPEATS):  # by turns, as a busy machine then hits both
        run([*launcher, *two, "--ascent", ascent], place / f"two{turn}")
        run(["-m", "gsam", *one], place / f"one{turn}")
        for name, found in seconds.items():
            found.append(outcome(place / f"{name}{turn}")[2])
    (loss, weights, _), (its_loss, its_weights, _) = (outcome(place / f"{name}0") for name in ("two", "one"))
    return {
        "command": " ".join(["gsam", *two]),
        "ascent": ascent,
        "steps_of_the_curve": len(loss),
        "largest_relative_loss_difference": max(abs(a / b - 1) for a, b in zip(loss, its_loss, strict=True)),
        "largest_weight_difference": max(float((weights[name] - its_weights[name]).abs().max()) for name in weights),
        "training_time_of_two_over_one": min(seconds["two"]) / min(seconds["one"]),
    }


def run(arguments: list[str], out: Path) -> None:
    """Run a command of this Python to its end."""
    subprocess.run([sys.executable, *arguments, "--out", str(out), "--quiet"], check=True)


def outcome(out: Path) -> tuple[list[float], dict[str, torch.Tensor], float]:
    """Losses, weights and training seconds."""
    history = json.loads(next(out.rglob("history.json")).read_text())
    weights = torch.load(next(out.rglob("model.pt")), weights_only=True)
    return history.get("epoch_loss", history["loss"]), weights, history["seconds"][-1]


if __name__ == "__main__":
    main()
