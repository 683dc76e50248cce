"""``gsam demo``: see it work, on bundled data."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsam.cli.common import Device, Force, Out, Quiet, Threads, choose_device, integers, use_threads
from gsam.cli.fewshot import open_folder, run_seeds, show

if TYPE_CHECKING:
    from gsam.fewshot import FewShotConfig

# SAM's default radius is too large for this graph; 0.002 is the best of {0.002, 0.01, 0.05} on the validation classes,
# with seeds other than the demo's (benchmarks/results/interval_wordnet.json)
RUNS: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("gpn", "adam", {}),
    ("gpn", "sam", {"rho": 0.002}),
    ("gpn", "fgsam", {}),
    ("gpn", "fgsam+", {}),
    ("residual-gnn", "adam", {}),
    ("residual-gnn", "fgsam+", {}),
)
WRITTEN = ("table.md", "learning_curves.png", "table_kg.md", "poincare_disk.png", "learning_curves_kg.png")


def demo(
    out: Out,
    seeds: Annotated[str, typer.Option("--seeds", "--seed", help="Such as 0,1,2 or 0-9.")] = "0-4",
    episodes: Annotated[int, typer.Option(help="Training episodes at most, for each optimizer and seed.")] = 300,
    epochs: Annotated[int, typer.Option(help="Training epochs at most of the knowledge-graph models.")] = 30,
    device: Device = "auto",
    threads: Threads = 1,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Train on bundled data: few-shot methods on the graph of WordNet, HyboNet on its mammals.

    GPN with four optimizers and the default few-shot method with two, beside baselines; HyboNet, a hyperbolic
    knowledge-graph model, with Riemannian Adam and with Lorentz SAM.

    Example: gsam demo --out runs/demo
    """
    from gsam.cli import demo_kg
    from gsam.cli.kg_tables import show_table

    started, where = time.perf_counter(), choose_device(device)
    use_threads(threads)
    hyperbolic = demo_kg.prepare(epochs, where)
    results = few_shot_half(out, integers(seeds, "--seeds"), episodes, where, quiet=quiet, force=force)
    show(results, quiet=quiet)
    rows = demo_kg.hyperbolic_half(hyperbolic, out, quiet=quiet)
    if not quiet:
        show_table(demo_kg.HEADER, rows, numbers=range(2, 7))
        names = ", ".join(str(out / name) for name in WRITTEN)
        typer.echo(f"written: {names} ({time.perf_counter() - started:.0f} s)")


def few_shot_half(
    out: Path, seeds: tuple[int, ...], episodes: int, device: str, *, quiet: bool, force: bool
) -> list[dict[str, Any]]:
    """Run methods and optimizers, write their results, the table and the picture; return the results."""
    from gsam.datasets import load
    from gsam.fewshot import FewShotRun, PreparedData, configure
    from gsam.files import atomic_write, claim_folder, write_json
    from gsam.report import comparison, markdown

    shared = {"dataset": "wordnet", "split": "wordnet", "seeds": seeds}
    configs = []
    for method, optimizer, options in RUNS:
        config = configure(method=method, optimizer=optimizer, **shared, **options)  # type: ignore[arg-type]
        configs.append(replace(config, episodes=min(episodes, config.episodes)))
    data = PreparedData(load("wordnet"), device)
    runs = [FewShotRun(config, data) for config in configs]
    claim_folder(out, force=force)
    write_json(out / "config.json", {"demo": [config.to_dict() for config in configs]})
    results = []
    for run in runs:
        folder = open_folder(run.config, out / name_of(run.config), force=False, resume=False)
        results.append(run_seeds(run, folder, quiet=quiet))
    with atomic_write(out / "table.md") as file:
        file.write(markdown(*comparison(results)).encode())
    draw(out, results)
    return results


def name_of(config: FewShotConfig) -> str:
    """Folder of a run, such as ``gpn-fgsam+``."""
    return f"{config.method}-{config.optimizer}"


def draw(out: Path, results: list[dict[str, Any]]) -> None:
    """Draw the learning curves of all methods and optimizers."""
    from gsam.fewshot import History
    from gsam.report import learning_curves

    histories = {}
    for result in results:
        folder = out / f"{result['method']}-{result['optimizer']}"
        files = [folder / f"seed-{record['seed']}" / "history.json" for record in result["per_seed"]]
        found = [History(**json.loads(file.read_text())) for file in files]
        histories[f"{result['method']} {result['optimizer']}"] = found
    setting = results[0]["setting"]
    title = f"WordNet, {setting['ways']}-way {setting['shots']}-shot, {len(results[0]['per_seed'])} seeds"
    learning_curves(histories, out / "learning_curves.png", title=title)
