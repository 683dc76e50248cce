"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from gsam.fewshot.training import History

LINES_EVERY = 10  # validations between two plain lines


class TrainingProgress:
    """Shows training runs one after the other; use as a context manager.

    Args:
        console: where to show, usually standard error.
        quiet: show nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True)
        self._on_terminal = console.is_terminal and not quiet
        self._task = self._bar.add_task("", total=None, note="", visible=False)

    def __enter__(self) -> TrainingProgress:
        if self._on_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            self._bar.stop()

    def start(self, name: str, episodes: int) -> None:
        """Begin a run of at most so many episodes."""
        self._name = name
        if self._on_terminal:
            self._bar.reset(self._task, total=episodes, description=name, note="", visible=True)

    def update(self, history: History) -> None:
        """Show the last validation."""
        note = f"validation {history.val_accuracy[-1]:.1f} % (best {history.val_accuracy[history.best]:.1f})"
        if self._on_terminal:
            self._bar.update(self._task, completed=history.episode[-1], note=note)
        elif len(history.episode) % LINES_EVERY == 0:
            self.say(f"{self._name}: episode {history.episode[-1]}, {note}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
