"""``gsam fewshot``: few-shot node classification."""

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

if TYPE_CHECKING:
    from gsam.fewshot import FewShotConfig, FewShotRun

app = typer.Typer(help="Few-shot node classification.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Few-shot node classification."""


@app.command(
    epilog="Example: gsam fewshot run --dataset wordnet --split wordnet --optimizer fgsam+ --seeds 0-4 --out runs/1"
)
def run(
    dataset: Annotated[str, typer.Option(help="A name (gsam datasets list), a .npz or .pt file, or a folder.")],
    out: Out,
    method: Annotated[
        str | None, typer.Option(help="residual-gnn, gpn, proto-net, meta-gnn, amm-gnn, tent, or a baseline.")
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="adam, sam, fgsam, fgsam+, ...; an unknown name lists all of them.")
    ] = "adam",
    ways: Annotated[int, typer.Option(help="Classes in an episode.")] = 5,
    shots: Annotated[int, typer.Option(help="Labelled nodes of each class.")] = 3,
    queries: Annotated[int, typer.Option(help="Nodes of each class to classify.")] = 10,
    episodes: Annotated[int | None, typer.Option(help="Training episodes at most.")] = None,
    test_episodes: Annotated[int, typer.Option(help="Tasks in the test.")] = 100,
    validation_episodes: Annotated[int | None, typer.Option(help="Tasks in a validation.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Training episodes between validations.")] = None,
    patience: Annotated[int | None, typer.Option(help="Validations without improvement before it stops.")] = None,
    max_skipped: MaxSkipped = 100,
    meta_batch_size: Annotated[
        int, typer.Option(help="Training episodes of a step; several processes (torchrun) share them.")
    ] = 1,
    train_ways: Annotated[int | None, typer.Option(help="Classes in a training episode, if not --ways.")] = None,
    train_queries: Annotated[int | None, typer.Option(help="Queries in training, if not --queries.")] = None,
    max_neighbors: Annotated[
        int | None, typer.Option(help="Neighbours of a node that a propagation takes, if not all; bounds the memory.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Numbers of train, validation and test classes, a published split, or a .json file.")
    ] = "5,5,5",
    seeds: Annotated[str, typer.Option("--seeds", "--seed", help="Such as 0,1,2 or 0-9.")] = "0",
    preset: Annotated[
        str, typer.Option(help="default: residual-gnn; published: GPN as in the FGSAM paper's code.")
    ] = "default",
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 penalty.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Width of the encoder.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout of the encoder.")] = None,
    rho: Annotated[float | None, typer.Option(help="Radius of the ascent.")] = None,
    lam: Annotated[float | None, typer.Option(help="Weight of the GNN's gradient (fgsam, fgsam+).")] = None,
    alpha: Annotated[float | None, typer.Option(help="Weight of the flatness part (fgsam+, looksam).")] = None,
    k: Annotated[int | None, typer.Option("--k", help="Interval of the exact steps (fgsam+, looksam).")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE: another option of method or optimizer.")
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
    """Meta-train a method, test it on novel classes, and compare it with the baselines that train nothing.

    Options that show no default take the value of the method's recipe; results.json has all values in force.
    """
    chosen = {name: value for name, value in locals().items() if name not in NOT_CONFIG}
    from gsam.datasets import load_nodes
    from gsam.fewshot import FewShotRun, configure

    use_threads(threads)
    use_determinism(deterministic)
    config = configure(**chosen, seeds=integers(seeds, "--seeds"), options=named_values(option or []))
    ranks, where = join_processes(device, ascent, timeout)
    quiet = quiet or not ranks.first
    prepared = FewShotRun(config, load_nodes(dataset), device=where, ranks=ranks)
    folder = ranks.first_does(lambda: open_folder(config, out, force=force, resume=resume))
    results = run_seeds(prepared, folder, quiet=quiet, checkpoint_every=checkpoint_every)
    show([results], quiet=quiet)
    if not quiet:
        typer.echo(f"written: {folder / 'results.json'}")


def open_folder(config: FewShotConfig, out: Path, *, force: bool, resume: bool) -> Path:
    """Claim the folder and write the configuration, or check that a resumed run has the same one.

    Raises:
        ValueError: the folder is in use, or its run was configured differently.
    """
    from gsam.files import claim_folder, read_json, write_json

    wanted = config.to_dict()
    if resume and (out / "config.json").exists():
        found = read_json(out / "config.json")
        changed = sorted(name for name in wanted if name != "seeds" and found.get(name) != wanted[name])
        if changed:
            raise ValueError(f"expected the options of the run in {out}, found other values of {', '.join(changed)}")
    folder = claim_folder(out, force=force, resume=resume)
    write_json(folder / "config.json", wanted)
    return folder


def run_seeds(prepared: FewShotRun, folder: Path, *, quiet: bool, checkpoint_every: float = 30.0) -> dict[str, Any]:
    """Run every seed that has no record yet, and write results.json."""
    from rich.console import Console

    from gsam.checkpoints import CHECKPOINTS
    from gsam.cli.progress import TrainingProgress
    from gsam.files import read_json, write_json

    records = []
    with TrainingProgress(Console(stderr=True), quiet=quiet) as progress:
        for seed in prepared.config.seeds:
            kept = folder / f"seed-{seed}" / "record.json"
            if kept.exists():
                prepared.checkpoints(seed, kept.parent / CHECKPOINTS).remove()  # if it was killed just before that
                records.append(read_json(kept))
                continue
            optimizer = f" {prepared.config.optimizer}" if prepared.config.trains else ""
            name = f"{prepared.config.method}{optimizer} seed {seed}"
            progress.start(name, prepared.config.episodes)
            record = prepared.record(
                seed, lambda _, history: progress.update(history), kept.parent, checkpoint_every=checkpoint_every
            )
            progress.say(f"{name}: test accuracy {record['test_accuracy']:.2f} %")
            records.append(record)
    results = prepared.results(records)
    if prepared.ranks.first:
        write_json(folder / "results.json", results)
    return results


def show(results: list[dict[str, Any]], *, quiet: bool) -> None:
    """Print the comparison table."""
    if quiet:
        return
    from rich.console import Console
    from rich.table import Table

    from gsam.report import comparison

    header, rows = comparison(results)
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
