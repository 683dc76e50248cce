"""Options that several commands share."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gsam.distributed import Ranks

Out = Annotated[Path, typer.Option("--out", help="Folder for everything the command writes.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads; an episode is too small to gain from more.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run left in --out.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a run: keep what is finished, go on from the last checkpoint.")
]
MaxSkipped = Annotated[
    int, typer.Option("--max-skipped", help="Steps in a row with a gradient that is not finite before it fails.")
]
CheckpointEvery = Annotated[
    float,
    typer.Option("--checkpoint-every", min=0.0, help="Least seconds between checkpoints, which --resume goes on from."),
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Refuse operations whose results may differ from run to run.")
]
Ascent = Annotated[
    str,
    typer.Option(
        "--ascent", help="With several processes (torchrun): global, as one would; or local, each on its own."
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for a process that does not answer.")]


#: options of the commands that train which are no settings of a run
NOT_CONFIG = (
    *("out", "seeds", "option", "device", "threads", "quiet", "force", "resume"),
    *("checkpoint_every", "deterministic", "ascent", "timeout", "split_tables"),
)


def choose_device(name: str) -> str:
    """Turn ``auto`` into what there is.

    Raises:
        ValueError: the name is unknown, or there is no CUDA device.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise ValueError(f"expected --device auto, cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device for --device cuda, found none; use --device cpu")
    return name


def join_processes(device: str, ascent: str, timeout: float) -> tuple[Ranks, str]:
    """Become one of the processes that ``torchrun`` has started, if it has, and choose the device of this one.

    Raises:
        ValueError: there is no such device or ascent.
        LostProcessError: the others do not come.
    """
    from gsam.distributed import join, own_device

    where = choose_device(device)
    return join(where, ascent=ascent, timeout=timeout), own_device(where)


def use_threads(count: int) -> None:
    """Let torch use so many CPU threads.

    Raises:
        ValueError: the count is less than 1.
    """
    if count < 1:
        raise ValueError(f"expected --threads >= 1, found {count}")
    import torch

    torch.set_num_threads(count)


def use_determinism(wanted: bool) -> None:
    """Let torch refuse what is not deterministic, if it is wanted."""
    if wanted:
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
        torch.use_deterministic_algorithms(True)


def integers(text: str, option: str) -> tuple[int, ...]:
    """Parse ``0,1,2`` or ``0-9`` or a mix.

    Raises:
        ValueError: the text is neither.
    """
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not found:
            raise ValueError(f"expected {option} such as 0,1,2 or 0-9, found {text!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        numbers.extend(range(first, last + 1))
    return tuple(numbers)


def named_values(given: list[str]) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` pairs; a value is a number, true, false, or else text.

    Raises:
        ValueError: one is no such pair, a name occurs twice, or a number is not finite.
    """
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in options:
            raise ValueError(f"expected each --option once and as NAME=VALUE, found {text!r}")
        options[name] = _value(name, value)
    return options


def _value(name: str, text: str) -> Any:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(found, float) and not math.isfinite(found):
        raise ValueError(f"expected a finite number for --option {name}, found {text}")
    return found if isinstance(found, (bool, int, float)) else text
