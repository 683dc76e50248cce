"""Pictures of results, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gsam.files import atomic_write

if TYPE_CHECKING:
    from gsam.fewshot.training import History


def learning_curves(
    histories: Mapping[str, Sequence[History]],
    path: str | Path,
    *,
    title: str,
    lines: Mapping[str, float] | None = None,
) -> None:
    """Validation accuracy against training time, one curve with its spread over seeds for each optimizer.

    A run that stopped early keeps the accuracy of its best validation so far, as its weights do.

    Args:
        histories: for each optimizer the histories of its seeds.
        path: a ``.png`` file.
        title: of the picture.
        lines: named accuracies drawn as horizontal lines, e.g. of the baselines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    longest = max(history.seconds[-1] for runs in histories.values() for history in runs)
    for number, (name, runs) in enumerate(histories.items()):
        grid = np.linspace(max(history.seconds[0] for history in runs), longest, 200)  # where every run has a point
        curves = np.stack([_best_so_far(history, grid) for history in runs])
        colour = f"C{number}"
        axes.plot(grid, curves.mean(0), color=colour, label=name)
        if len(runs) > 1:
            axes.fill_between(grid, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
    for number, (name, value) in enumerate((lines or {}).items()):
        axes.axhline(value, color="0.35", linestyle=("--", ":", "-.")[number % 3], label=name)
    axes.set(xlabel="training time (s)", ylabel="best validation accuracy so far (%)", title=title)
    legend = "mean; band: all seeds" if any(len(runs) > 1 for runs in histories.values()) else None
    axes.legend(title=legend, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _best_so_far(history: History, grid: np.ndarray) -> np.ndarray:
    """The running maximum at each time of the grid, which starts no earlier than the first validation."""
    best: np.ndarray = np.maximum.accumulate(history.val_accuracy)
    return best[np.searchsorted(history.seconds, grid, side="right") - 1]
