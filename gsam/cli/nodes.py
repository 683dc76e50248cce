"""``gsam nodes``: ordinary node classification."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsam.cli.common import (
    NOT_CONFIG,
    Ascent,
    CheckpointEvery,
    Deterministic,
    Device,
    Force,
    MaxSkipped,
    Out,
    Quiet,
    Resume,
    Threads,
    Timeout,
    integers,
    join_processes,
    named_values,
    use_determinism,
    use_threads,
)
from gsam.cli.fewshot import open_folder
from gsam.cli.progress import LINES_EVERY, TrainingProgress

if TYPE_CHECKING:
    from gsam.nodes import EpochHistory, NodesRun

app = typer.Typer(help="Ordinary node classification.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Ordinary node classification."""


@app.command(
    epilog="Example: gsam nodes run --dataset texas --model sage --optimizer fgsam --seeds 0-9 --out runs/texas"
)
def run(
    dataset: Annotated[str, typer.Option(help="A name (gsam datasets list), a .npz or .pt file, or a folder.")],
    out: Out,
    model: Annotated[str, typer.Option(help="gcn, sage, gin, gat, gatv2, pna or mlp (no graph).")] = "gcn",
    optimizer: Annotated[str, typer.Option(help="adam, sam, fgsam, fgsam+, ...; a wrong name lists all.")] = "adam",
    split: Annotated[
        str, typer.Option(help="published: number seed mod S of S; random: 48/32/20 % of each class, by seed.")
    ] = "published",
    seeds: Annotated[str, typer.Option("--seeds", "--seed", help="Such as 0,1,2 or 0-9.")] = "0",
    epochs: Annotated[int, typer.Option(help="Training epochs at most.")] = 200,
    validate_every: Annotated[int, typer.Option(help="Epochs between validations.")] = 1,
    patience: Annotated[int, typer.Option(help="Validations without improvement before training stops.")] = 50,
    max_skipped: MaxSkipped = 100,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-2,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.")] = 5e-4,
    hidden: Annotated[int, typer.Option(help="Width of the hidden layers.")] = 64,
    layers: Annotated[int, typer.Option(help="Number of layers.")] = 2,
    dropout: Annotated[float, typer.Option(help="Dropout after each hidden layer.")] = 0.5,
    norm: Annotated[str, typer.Option(help="After each hidden layer: none, batch or layer.")] = "none",
    jk: Annotated[str, typer.Option(help="Jumping knowledge: none, last, cat or max.")] = "none",
    heads: Annotated[int, typer.Option(help="Attention heads (gat, gatv2).")] = 8,
    row_normalize: Annotated[bool, typer.Option("--row-normalize", help="Features of a node sum to 1.")] = False,
    rho: Annotated[float | None, typer.Option(help="Radius of the ascent.")] = None,
    lam: Annotated[float | None, typer.Option(help="Weight of the GNN's gradient (fgsam, fgsam+).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the flatness part (fgsam+).")] = None,
    k: Annotated[int | None, typer.Option("--k", help="Interval of the exact steps (fgsam+).")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Another option of the optimizer, NAME=VALUE; repeatable.")
    ] = None,
    device: Device = "auto",
    threads: Threads = 1,
    quiet: Quiet = False,
    force: Force = False,
    resume: Resume = False,
    checkpoint_every: CheckpointEvery = 30.0,
    deterministic: Deterministic = False,
    ascent: Ascent = "global",
    timeout: Timeout = 600.0,
) -> None:
    """Train a model on a node split of each seed, and compare it with logistic regression on the features alone."""
    chosen = {name: value for name, value in locals().items() if name not in NOT_CONFIG}
    from gsam.datasets import load_nodes
    from gsam.nodes import NodesConfig, NodesRun

    use_threads(threads)
    use_determinism(deterministic)
    config = NodesConfig(**chosen, seeds=integers(seeds, "--seeds"), options=named_values(option or []))
    ranks, where = join_processes(device, ascent, timeout)
    quiet = quiet or not ranks.first
    prepared = NodesRun(config, load_nodes(dataset), device=where, ranks=ranks)
    folder = ranks.first_does(
        lambda: open_folder(config, out, force=force, resume=resume)  # type: ignore[arg-type]
    )
    results = run_seeds(prepared, folder, quiet=quiet, checkpoint_every=checkpoint_every)
    if not quiet:
        show(results)
        typer.echo(f"written: {folder / 'results.json'}")


class EpochProgress(TrainingProgress):
    """Shows epochs and the validation score."""

    def show(self, history: EpochHistory) -> None:
        """Show the last validation."""
        note = f"validation {history.val_score[-1]:.1f} % (best {history.val_score[history.best]:.1f})"
        if self._on_terminal:
            self._bar.update(self._task, completed=history.epoch[-1], note=note)
        elif len(history.epoch) % (2 * LINES_EVERY) == 0:
            self.say(f"{self._name}: epoch {history.epoch[-1]}, {note}")


def run_seeds(prepared: NodesRun, folder: Path, *, quiet: bool, checkpoint_every: float = 30.0) -> dict[str, Any]:
    """Run every seed that has no record yet, and write results.json."""
    from rich.console import Console

    from gsam.checkpoints import CHECKPOINTS
    from gsam.files import read_json, write_json

    records, progress = [], EpochProgress(Console(stderr=True), quiet=quiet)
    with progress:
        for seed in prepared.config.seeds:
            kept = folder / f"seed-{seed}" / "record.json"
            if kept.exists():
                prepared.checkpoints(seed, kept.parent / CHECKPOINTS).remove()  # if it was killed just before that
                records.append(read_json(kept))
                continue
            name = f"{prepared.config.model} {prepared.config.optimizer} seed {seed}"
            progress.start(name, prepared.config.epochs)
            record = prepared.record(
                seed, lambda _, history: progress.show(history), kept.parent, checkpoint_every=checkpoint_every
            )
            progress.say(f"{name}: test {METRICS[prepared.metric]} {record['test']:.2f} %")
            records.append(record)
    results = prepared.results(records)
    if prepared.ranks.first:
        write_json(folder / "results.json", results)
    return results


METRICS = {"accuracy": "accuracy", "roc_auc": "ROC-AUC"}


def show(results: dict[str, Any]) -> None:
    """Print the result and the baseline."""
    from rich.console import Console
    from rich.table import Table

    from gsam.report import with_interval

    table = Table("model", "optimizer", f"{METRICS[results['metric']]} %", "ms / epoch", box=None, pad_edge=False)
    score = with_interval(results["test_mean"], results["test_ci95"])
    table.add_row(results["model"], results["optimizer"], score, f"{1000 * results['seconds_per_epoch']:.2f}")
    lines, intervals = results["baseline"], results["baseline_ci95"]
    for name, mean in lines.items():
        table.add_row(name.replace("_", "-"), "(no graph)", with_interval(mean, intervals[name]), "")
    Console(width=None if Console().is_terminal else 120).print(table)
