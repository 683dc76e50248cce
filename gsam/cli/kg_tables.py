"""Tables of knowledge-graph results on the terminal."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, float]


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Container[int]) -> None:
    """Print a table, nothing of it cut; the columns at the positions ``numbers`` are flush right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 1000, markup=False, highlight=False).print(table)


def figures_row(name: str, figures: Figures, ks: Sequence[int] = (1, 3, 10)) -> list[str]:
    """A name, MRR, Hits@k and how many ranks they are made of."""
    hits = [f"{figures[f'hits@{k}']:.4f}" for k in ks]
    return [name, f"{figures['mrr']:.4f}", *hits, f"{figures['mr']:.1f}", f"{int(figures['count']):,}"]


def figures_header(name: str, ks: Sequence[int] = (1, 3, 10)) -> list[str]:
    """The header that goes with :func:`figures_row`."""
    return [name, "MRR", *(f"Hits@{k}" for k in ks), "mean rank", "ranks"]


def show_summary(folders: Sequence[Path]) -> None:
    """Print the test results of finished runs by both protocols, those of each relation category, and what there is."""
    import typer

    from gsam.files import read_json

    rows: list[list[str]] = []
    for folder in folders:
        results = read_json(folder / "results.json")
        prefix = f"seed {results['seed']}, " if len(folders) > 1 else ""
        rows.append(figures_row(f"{prefix}standard protocol", results["test"]["both"]))
        rows.append(figures_row(f"{prefix}hybonet protocol", results["test_hybonet"]["both"]))
        categories = results["test_categories"].items()
        rows += [figures_row(f"{prefix}{name} relations", found["both"]) for name, found in categories]
    if len(folders) > 1:
        rows += _over_seeds([read_json(folder / "results.json") for folder in folders])
    show_table(figures_header("test triples, filtered"), rows, numbers=range(1, 7))
    for folder in folders:
        typer.echo(f"written: {folder / 'results.json'}, embedding.png, learning_curve.png")


def _over_seeds(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Means over seeds with 95 % intervals, by protocol."""
    from gsam.evaluation import mean_ci95

    rows = []
    for name, key in (("standard", "test"), ("hybonet", "test_hybonet")):
        row = [f"mean, {name} protocol"]
        for figure in ("mrr", "hits@1", "hits@3", "hits@10"):
            mean, interval = mean_ci95([found[key]["both"][figure] for found in results])
            row.append(f"{mean:.4f} ± {interval:.4f}")
        rows.append([*row, "", ""])
    return rows
