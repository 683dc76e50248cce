"""The hyperbolic half of ``gsam demo``: HyboNet on the mammals of WordNet, with and without Lorentz SAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsam.kg.run import KGRun

# settings of the preset for WN18RR; the validation MRR (30 epochs, seed 1) chose the radius of Lorentz SAM (1, 3, 6),
# and the learning rate of Riemannian Adam (0.02, 0.06, 0.17, 0.4)
SETTINGS: dict[str, Any] = {
    "model": "hybonet",
    "dim": 10,
    "negatives": "all",
    "own_head": True,
    "loss": "softmax",
    "schedule": "linear",
    "validate_every": 2,
    "options": {"init": "identity"},
}
RUNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("radam", {"lr": 0.4, "groups": {"relations": {"lr": 0.06}, "biases": {"lr": 0.03}}}),
    (
        "lorentz-sam",  # the radius is for the points alone
        {
            "lr": 0.17,
            "rho": 3.0,
            "groups": {"relations": {"lr": 0.06, "rho": 0.0}, "biases": {"lr": 0.03, "rho": 0.0}},
        },
    ),
)
SEEDS = (2, 3)
HEADER = ("model", "optimizer", "MRR", "Hits@1", "Hits@3", "Hits@10", "s / epoch")


def prepare(epochs: int, device: str) -> list[KGRun]:
    """The runs of the hyperbolic half, checked."""
    from gsam.datasets import load_knowledge_graph
    from gsam.kg import KGRun, configure

    graph = load_knowledge_graph("wordnet-mammals")
    return [
        KGRun(
            configure(graph.name, optimizer=optimizer, seed=seed, epochs=epochs, **SETTINGS, **options),
            graph,
            device=device,
        )
        for optimizer, options in RUNS
        for seed in SEEDS
    ]


def hyperbolic_half(runs: Sequence[KGRun], out: Path, *, quiet: bool) -> list[list[str]]:
    """Train in a folder of each run, write ``table_kg.md`` and the pictures; return the rows of the table."""
    from gsam.cli.fewshot import open_folder
    from gsam.cli.kg import finish
    from gsam.files import atomic_write, read_json
    from gsam.report import markdown

    results: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        folder = open_folder(run.config, folder_of(run, out), force=False, resume=False)  # type: ignore[arg-type]
        finish(run, folder, quiet=quiet)
        results.setdefault(run.config.optimizer, []).append(read_json(folder / "results.json"))
    rows = [row(found) for found in results.values()]
    with atomic_write(out / "table_kg.md") as file:
        file.write(markdown(HEADER, rows).encode())
    draw(runs, out)
    return rows


def folder_of(run: KGRun, out: Path) -> Path:
    """Such as ``hybonet-radam/seed-0``."""
    return out / f"{run.config.model}-{run.config.optimizer}" / f"seed-{run.config.seed}"


def row(results: Sequence[dict[str, Any]]) -> list[str]:
    """Means over seeds of the filtered test figures of one optimizer, with the range of the MRR."""
    both = [found["test"]["both"] for found in results]
    mean = {key: fmean(figures[key] for figures in both) for key in both[0]}
    every = [figures["mrr"] for figures in both]
    hits = [f"{mean[f'hits@{k}']:.3f}" for k in (1, 3, 10)]
    seconds = fmean(found["epoch_seconds_median"] for found in results)
    mrr = f"{mean['mrr']:.3f} ({min(every):.3f} to {max(every):.3f})"
    return [results[0]["model"], results[0]["optimizer"], mrr, *hits, f"{seconds:.2f}"]


def draw(runs: Sequence[KGRun], out: Path) -> None:
    """The disk that Lorentz SAM found with the first seed, and the validation MRR of both optimizers with that seed."""
    from gsam.files import read_json
    from gsam.kg import TrainingHistory, embeddings, load_run
    from gsam.report import embedding_picture, mrr_curves

    first = {run.config.optimizer: folder_of(run, out) for run in runs if run.config.seed == SEEDS[0]}
    histories = {name: TrainingHistory(**read_json(folder / "history.json")) for name, folder in first.items()}
    opened = load_run(first["lorentz-sam"])
    title = f"{opened.graph.name}, HyboNet d = {opened.config.dim}, Lorentz SAM"
    embedding_picture(embeddings(opened.model), opened.graph, out / "poincare_disk.png", title=title)
    mrr_curves(histories, out / "learning_curves_kg.png", title=f"{opened.graph.name}, HyboNet, seed {SEEDS[0]}")
