"""Runs killed by SIGKILL at random moments and resumed end with what undisturbed ones end with, bit for bit.

Few-shot, node classification and knowledge graphs in turn. Compared are the weights, the history and the results, times
and machine left out. A second part fills the disk, cuts a checkpoint short and puts another model's in its place.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench_scaling import random_dataset
from harness import save

from gsam.datasets import save_folder

#: a random graph, on which the baselines beside a run take no time
GRAPH = "random-2000"
COMMANDS = {
    "fewshot": (
        *("fewshot", "run", "--dataset", GRAPH, "--split", "8,6,6", "--optimizer", "fgsam+", "--method", "gpn"),
        *("--episodes", "400", "--validate-every", "5", "--validation-episodes", "5", "--test-episodes", "20"),
        *("--patience", "100"),
    ),
    "nodes": (
        *("nodes", "run", "--dataset", GRAPH, "--split", "random", "--model", "sage", "--optimizer", "fgsam"),
        *("--epochs", "150", "--validate-every", "2", "--patience", "100"),
    ),
    "kg": (
        *("kg", "train", "--dataset", "wordnet-mammals", "--optimizer", "lorentz-sam", "--dim", "10", "--rho", "1"),
        *("--epochs", "12", "--validate-every", "3", "--threads", "1"),
    ),
}
#: what says when, how long and where; everything else must be equal
TIMES = {
    *("seconds", "epoch_seconds", "eval_seconds", "train_seconds", "validation_seconds", "epoch_seconds_median"),
    *("seconds_per_200_episodes", "seconds_per_epoch", "environment"),
}


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--smoke", action="store_true", help="one kill each, nothing saved")
    options = parser.parse_args()
    rng, figures = random.Random(options.seed), {}
    with tempfile.TemporaryDirectory() as place:
        save_folder(random_dataset(2000), Path(place) / GRAPH)
        for name in COMMANDS:
            figures[name] = killed(name, Path(place), rng, 1 if options.smoke else options.kills)
        figures["faults"] = faults(Path(place))
    if not options.smoke:
        save("resume", figures)
    if any(figures[name]["identical"] < figures[name]["kills"] for name in COMMANDS) or not all(
        fault["as_it_should"] for fault in figures["faults"].values()
    ):
        sys.exit("expected every run to end as the undisturbed one, and every fault to be told; see the figures above")


def killed(name: str, place: Path, rng: random.Random, kills: int) -> dict[str, Any]:
    """How many runs that were killed at a random moment of an undisturbed run's time end as that one."""
    started = time.perf_counter()
    finish(start(name, place / f"{name}-whole"))
    seconds, expected = time.perf_counter() - started, outcome(place / f"{name}-whole")
    found = []
    for number in range(kills):
        out, delay = place / f"{name}-{number}", rng.uniform(0.3, 1.0) * seconds
        process = start(name, out)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        had = sorted(path.name for path in out.rglob("*.pt"))
        finish(start(name, out))
        same = outcome(out) == expected
        found.append({"after_seconds": delay, "left": had, "identical": same})
        print(f"{name}: killed after {delay:.1f} of {seconds:.1f} s, left {had}: identical {same}", flush=True)
        shutil.rmtree(out)
    return {
        "command": " ".join(["gsam", *COMMANDS[name]]),
        "kills": kills,
        "identical": sum(run["identical"] for run in found),
        "seconds_undisturbed": seconds,
        "runs": found,
    }


def start(name: str, out: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Begin a run, or go on with it, in a process group of its own."""
    given = [str(out.parent / GRAPH) if word == GRAPH else word for word in COMMANDS[name]]
    command = [sys.executable, "-m", "gsam", *given, "--out", str(out)]
    command += ["--resume", "--checkpoint-every", "0.05", "--quiet"]
    return subprocess.Popen(command, start_new_session=True, **options)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a good end."""
    if process.wait():
        sys.exit(f"expected the run to end well, found exit code {process.returncode}")


def outcome(out: Path) -> dict[str, Any]:
    """Results, histories and a digest of the weights."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*.json")):
        found[str(path.relative_to(out))] = without_times(json.loads(path.read_text()))
    for path in sorted(out.rglob("model.pt")):
        weights = torch.load(path, weights_only=True)
        found[str(path.relative_to(out))] = {name: value.numpy().tobytes() for name, value in weights.items()}
    return found


def without_times(content: Any) -> Any:
    """The content without what differs between two runs of the same."""
    if isinstance(content, dict):
        return {key: without_times(value) for key, value in content.items() if key not in TIMES}
    return [without_times(value) for value in content] if isinstance(content, list) else content


def faults(place: Path) -> dict[str, Any]:
    """A full disk, a checkpoint cut short, one of another model: what the command says, and whether it goes on."""
    whole = outcome(place / "kg-whole")
    found = {}
    for name, spoil in (("truncated", truncate), ("of another model", replace)):
        out = place / name
        interrupt(out)
        spoil(out / "checkpoints")
        done = start("kg", out, stderr=subprocess.PIPE)
        message = (done.communicate()[1] or b"").decode()
        ended_well = done.returncode == 0 and outcome(out) == whole
        good = ended_well if name == "truncated" else done.returncode == 2 and message.count("\n") == 1
        found[name] = {"exit_code": done.returncode, "message": told(message, place), "as_it_should": good}
    return {**found, "full disk": full_disk(place, whole)}


def interrupt(out: Path, **options: Any) -> None:
    """Kill a run that has written two checkpoints."""
    process = start("kg", out, **options)
    while process.poll() is None and not (out / "checkpoints" / "previous.pt").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def truncate(folder: Path) -> None:
    """Cut the newest checkpoint in half."""
    content = (folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(content[: len(content) // 2])


def replace(folder: Path) -> None:
    """Put a checkpoint of another model in place of both."""
    from gsam.checkpoints import Checkpoints

    model = torch.nn.Linear(2, 2)
    Checkpoints(folder).save(model, torch.optim.Adam(model.parameters()), {})
    shutil.copy(folder / "last.pt", folder / "previous.pt")


def full_disk(place: Path, whole: dict[str, Any]) -> dict[str, Any]:
    """A process that may not write files of the size of a checkpoint: one line, and the last good state goes on."""
    out = place / "full"
    interrupt(out)
    limit = (out / "checkpoints" / "last.pt").stat().st_size // 2
    done = start(
        "kg", out, stderr=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    message = (done.communicate()[1] or b"").decode()
    refused = done.returncode == 2 and message.count("\n") == 1
    finish(start("kg", out))
    good = refused and outcome(out) == whole
    return {"exit_code": done.returncode, "message": told(message, place), "as_it_should": good}


def told(message: str, place: Path) -> str:
    """What was printed, without the names of this machine's folders."""
    checkout = Path(__file__).resolve().parents[1]
    return message.replace(str(place), "RUNS").replace(f"{checkout}/", "").strip()


if __name__ == "__main__":
    main()
