"""Learning curves of knowledge-graph models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsam.files import atomic_write

if TYPE_CHECKING:
    from gsam.kg.training import TrainingHistory


def mrr_curves(histories: Mapping[str, TrainingHistory], path: str | Path, *, title: str) -> None:
    """Validation MRR over epochs and over seconds of training, one curve for each run, its best validation marked.

    Args:
        histories: of runs by name.
        path: a ``.png`` file.
        title: of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for number, (name, history) in enumerate(histories.items()):
        label = f"{name}\nbest {history.mrr[history.best]:.3f}"
        _draw(left, history.epoch, history, f"C{number}", label)
        _draw(right, history.seconds, history, f"C{number}", label)
    left.set(xlabel="epochs", ylabel="filtered validation MRR")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(xlabel="training time (s)")
    for axes in (left, right):
        axes.set_xlim(left=0)  # after all curves, as it ends the fitting of the other end
    right.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _draw(axes: Any, x: list[Any], history: TrainingHistory, colour: str, name: str) -> None:
    axes.plot(x, history.mrr, color=colour, label=name, marker=".", markersize=3, linewidth=1.2)
    best = history.best
    axes.plot(x[best], history.mrr[best], color=colour, marker="o", markersize=6, fillstyle="none")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
