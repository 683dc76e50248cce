"""``gsam kg``: knowledge graphs; training here, the use of what was trained in :mod:`gsam.cli.kg_use`."""

from __future__ import annotations

import time
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
    Timeout,
    integers,
    join_processes,
    named_values,
    use_determinism,
    use_threads,
)
from gsam.cli.fewshot import open_folder
from gsam.cli.progress import TrainingProgress

if TYPE_CHECKING:
    from gsam.kg.run import KGRun, OpenedRun
    from gsam.kg.training import TrainingHistory

app = typer.Typer(help="Knowledge-graph completion.", no_args_is_help=True, rich_markup_mode=None)

Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; by default all cores.")]


@app.callback()
def group() -> None:
    """Knowledge-graph completion."""


@app.command(
    epilog="Example: gsam kg train --dataset wordnet-mammals --dim 10 --optimizer lorentz-sam --epochs 40 --out runs/1"
)
def train(
    dataset: Annotated[str, typer.Option(help="A name, a folder of train/valid/test.txt, or a .tsv, .csv or .nt.")],
    out: Out,
    model: Annotated[
        str, typer.Option(help="hybonet, murp, mure, roth, refh, atth, transe, distmult, complex or rotate.")
    ] = "hybonet",
    optimizer: Annotated[
        str | None, typer.Option(help="radam, rsgd, lorentz-sam, rsam, adam, ...; a wrong name lists all.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Dimension of the embeddings.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training triples at most.")] = None,
    preset: Annotated[str, typer.Option(help="default, or published: the settings of the paper's code.")] = "default",
    seeds: Annotated[
        str, typer.Option("--seed", "--seeds", help="Such as 0; several, such as 0,1,2, get a folder each.")
    ] = "0",
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Triples in a step.")] = None,
    negatives: Annotated[
        str | None, typer.Option(help="shared by the batch, per-triple, or all entities (1-vs-all).")
    ] = None,
    num_negatives: Annotated[int | None, typer.Option(help="Negatives of each triple.")] = None,
    filter_negatives: Annotated[bool | None, typer.Option(help="Take out those that are training triples.")] = None,
    own_head: Annotated[bool | None, typer.Option(help="The head of a triple is a negative of its query, too.")] = None,
    loss: Annotated[str | None, typer.Option(help="bce, softmax or self-adversarial.")] = None,
    negative_weight: Annotated[float | None, typer.Option(help="Of bce and self-adversarial.")] = None,
    loss_margin: Annotated[float | None, typer.Option(help="Added to the scores by bce and self-adversarial.")] = None,
    adversarial_temperature: Annotated[float | None, typer.Option(help="Of self-adversarial.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Of softmax.")] = None,
    score_scale: Annotated[float | None, typer.Option(help="What softmax multiplies the scores with.")] = None,
    n3: Annotated[float | None, typer.Option("--n3", help="Weight of the N3 penalty.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the learning rate: constant, linear or cosine.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps in which the learning rate grows.")] = None,
    average: Annotated[float | None, typer.Option(help="Decay of a running average of the weights; 0: none.")] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="Clip the gradient to this norm.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="L2 penalty.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Epochs between validations.")] = None,
    patience: Annotated[int | None, typer.Option(help="Validations without improvement before it stops.")] = None,
    max_skipped: MaxSkipped = 100,
    max_seconds: Annotated[float | None, typer.Option(help="Training time after which it stops.")] = None,
    rho: Annotated[float | None, typer.Option(help="Radius of the ascent.")] = None,
    sparse: Annotated[bool | None, typer.Option(help="Row-sparse gradients; by default where they serve.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            help="NAME=VALUE: another option of model or optimizer (value none: no limit); PART.NAME=VALUE: of the "
            "optimizer for entities, biases or relations alone. Repeatable.",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    force: Force = False,
    resume: Resume = False,
    checkpoint_every: CheckpointEvery = 30.0,
    deterministic: Deterministic = False,
    ascent: Ascent = "global",
    timeout: Timeout = 600.0,
    split_tables: Annotated[
        bool, typer.Option("--split-tables", help="With several processes: each has a part of the entities' rows.")
    ] = False,
) -> None:
    """Train a model on a knowledge graph, rank the test triples, and draw the embedding and the learning curve.

    Options that show no default take the value of the preset; results.json has all values in force.
    """
    chosen = {name: value for name, value in locals().items() if name not in NOT_CONFIG}
    from gsam.datasets import load_knowledge_graph
    from gsam.kg.presets import configure
    from gsam.kg.run import KGRun

    if threads is not None:
        use_threads(threads)
    use_determinism(deterministic)
    options, groups = split_options(named_values(option or []))
    numbers = integers(seeds, "--seeds")
    configs = [configure(**chosen, seed=seed, options=options, groups=groups) for seed in numbers]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"expected different seeds, found {seeds}")
    graph = load_knowledge_graph(dataset)
    ranks, where = join_processes(device, ascent, timeout)
    quiet = quiet or not ranks.first
    runs = [KGRun(config, graph, device=where, ranks=ranks, split_tables=split_tables) for config in configs]
    folders = ranks.first_does(lambda: claim(runs, out, force=force, resume=resume))
    for run, folder in zip(runs, folders, strict=True):
        finish(run, folder, quiet=quiet, checkpoint_every=checkpoint_every)
    if not quiet:
        from gsam.cli.kg_tables import show_summary

        show_summary(folders)


def split_options(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Tell options of model and optimizer from those of parameter groups, ``GROUP.NAME``; ``none`` is ``None``."""
    options: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        part, dot, inner = name.partition(".")
        place = groups.setdefault(part, {}) if dot else options
        place[inner if dot else name] = None if value == "none" else value
    return options, groups


def claim(runs: list[KGRun], out: Path, *, force: bool, resume: bool) -> list[Path]:
    """The folders of the runs, with their configurations: ``out`` itself, or one in it for each of several seeds."""
    if len(runs) == 1:
        return [open_folder(runs[0].config, out, force=force, resume=resume)]  # type: ignore[arg-type]
    from gsam.files import claim_folder

    claim_folder(out, force=force, resume=resume)
    return [
        open_folder(run.config, out / f"seed-{run.config.seed}", force=False, resume=resume)  # type: ignore[arg-type]
        for run in runs
    ]


class KGProgress(TrainingProgress):
    """Shows epochs with loss, seconds per epoch and validation MRR; a plain line at most every ten seconds."""

    _SECONDS = 10.0
    _last = 0.0

    def start(self, name: str, episodes: int) -> None:
        """Begin a run of at most so many epochs."""
        super().start(name, episodes)
        self._last = time.monotonic()

    def show(self, history: TrainingHistory) -> None:
        """Show the last epoch."""
        epoch = len(history.epoch_seconds)
        note = f"loss {history.epoch_loss[-1]:.4g}, {history.epoch_seconds[-1]:.3g} s/epoch"
        if history.mrr:
            note += f", validation MRR {history.mrr[-1]:.4f} (best {history.mrr[history.best]:.4f})"
        if self._on_terminal:
            self._bar.update(self._task, completed=epoch, note=note)
        elif time.monotonic() - self._last >= self._SECONDS:
            self._last = time.monotonic()
            self.say(f"{self._name}: epoch {epoch}, {note}")


def finish(run: KGRun, folder: Path, *, quiet: bool, checkpoint_every: float = 30.0) -> None:
    """Train and keep everything, unless the folder has a finished run; draw the pictures."""
    from rich.console import Console

    from gsam.checkpoints import CHECKPOINTS
    from gsam.kg.run import load_run

    config, progress = run.config, KGProgress(Console(stderr=True), quiet=quiet)
    name = f"{config.model} {config.optimizer} seed {config.seed}"
    with progress:
        if (folder / "results.json").exists():
            run.checkpoints(folder / CHECKPOINTS).remove()  # if it was killed just before that
            progress.say(f"{name}: finished before, in {folder}")
            return
        for note in run.graph.notes:
            progress.say(f"note: {note}")
        progress.start(name, config.epochs)
        results = run.record(folder, progress.show, checkpoint_every=checkpoint_every)
        progress.say(f"{name}: best epoch {results['best_epoch']}, test MRR {results['test']['both']['mrr']:.4f}")
    if run.ranks.first:
        draw(load_run(folder), folder)


def draw(opened: OpenedRun, folder: Path) -> None:
    """Write ``embedding.png`` and ``learning_curve.png`` of a finished run."""
    from gsam.files import read_json
    from gsam.kg.embed import embeddings
    from gsam.kg.training import TrainingHistory
    from gsam.report import embedding_picture, mrr_curves

    config, graph = opened.config, opened.graph
    title = f"{graph.name}, {config.model} d = {config.dim}, {config.optimizer}"
    embedding_picture(embeddings(opened.model), graph, folder / "embedding.png", title=title)
    history = TrainingHistory(**read_json(folder / "history.json"))
    mrr_curves({config.optimizer: history}, folder / "learning_curve.png", title=title)
