"""The hyperbolic half of ``gsam demo``: HyboNet on the mammals of WordNet, with and without Lorentz SAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsam.kg.run import KGRun

# the default preset, but for what was chosen by validation MRR (30 epochs, seed 1): the radius of Lorentz SAM among 1, 3
# and 6, the learning rate of Riemannian Adam among 0.02, 0.06, 0.17 and 0.4
SETTINGS: dict[str, Any] = {"model": "hybonet", "dim": 10, "negatives": "all", "validate_every": 2}
RUNS: tuple[tuple[str, dict[str, Any]], ...] = (("radam", {"lr": 0.4}), ("lorentz-sam", {"lr": 0.17, "rho": 3.0}))
SEEDS = (0, 1, 2)
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
    """Means over seeds of the filtered test figures of one optimizer, with 95 % intervals of the MRR."""
    from gsam.fewshot import mean_ci95

    both = [found["test"]["both"] for found in results]
    mean, interval = mean_ci95([figures["mrr"] for figures in both])
    mrr = f"{mean:.3f}" if interval is None else f"{mean:.3f} ± {interval:.3f}"
    hits = [f"{mean_ci95([figures[f'hits@{k}'] for figures in both])[0]:.3f}" for k in (1, 3, 10)]
    seconds = sum(found["epoch_seconds_median"] for found in results) / len(results)
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
