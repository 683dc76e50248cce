"""The ``gsam`` command: its groups, and what becomes of an error."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import typer

import gsam.cli.bench
import gsam.cli.kg_use  # noqa: F401 - commands of fewshot.app and kg.app
from gsam.cli import datasets, demo, fewshot, kg, nodes

#: commands that several processes share the work of
_IN_PROCESSES = (("fewshot", "run"), ("nodes", "run"), ("kg", "train"))
_PACKAGE = Path(__file__).resolve().parents[1]

app = typer.Typer(
    name="gsam",
    help="Train graph models toward flat minima. Start with: gsam demo --out runs/demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(fewshot.app, name="fewshot")
app.add_typer(nodes.app, name="nodes")
app.add_typer(kg.app, name="kg")
app.command(name="demo")(demo.demo)


def _version(show: bool) -> None:
    if show:
        from gsam import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the command itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0, or 2 with one line on standard error for anything the user can put right.

    Set ``GSAM_DEBUG=1`` to see the traceback instead.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    show, warnings.showwarning = warnings.showwarning, _note
    try:
        _check_processes(given)
        status = app(args=given, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help of a group called without a command
            typer.echo(error.format_message(), err=True)  # type: ignore[attr-defined]
            sys.exit(2)
        message = _message(error)
        if message is None or os.environ.get("GSAM_DEBUG"):
            raise
        _say(message)
        sys.exit(2)
    finally:
        warnings.showwarning = show
        _leave()
    if status == 130:  # what typer makes of Ctrl-C
        _say("interrupted; what was finished is kept, continue with --resume")
    sys.exit(status if isinstance(status, int) else 0)


def _check_processes(arguments: Sequence[str]) -> None:
    """Refuse several processes where each would do the same work and write the same files."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and tuple(arguments[:2]) not in _IN_PROCESSES:
        names = ", ".join(map(" ".join, _IN_PROCESSES))
        raise ValueError(
            f"expected {names} in several processes, found {' '.join(arguments[:2]) or 'no command'}; "
            "run it without torchrun"
        )


def _message(error: Exception) -> str | None:
    """One line for an error that is about the input; ``None`` for one that is ours."""
    if hasattr(error, "format_message"):  # the command-line parser's
        return str(error.format_message())
    if isinstance(error, (ValueError, OSError, ArithmeticError)):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        return f"expected enough memory, found too little ({str(error)[:200]}); use a smaller model or data set"
    return None


def _say(message: str) -> None:
    rank = os.environ.get("RANK", "0")
    teller = "gsam" if rank == "0" else f"gsam, process {rank}"
    typer.echo(f"{teller}: " + " ".join(message.split()), err=True)


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of the library in one line, such as that of a damaged checkpoint; others as Python does."""
    if Path(filename).is_relative_to(_PACKAGE):
        _say(f"note: {message}")
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


def _leave() -> None:
    """Leave the group of processes, if a command has joined one."""
    if "gsam.distributed" in sys.modules:
        from gsam.distributed import leave

        leave()
