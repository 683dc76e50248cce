"""Checkpoints: the whole state of a training in one file, replaced at once and checked when it is read."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsam.checked_file import CheckpointError, State, first_line, read_checked, write_checked
from gsam.distributed import ALONE, Ranks, row_split
from gsam.evaluation import NonFiniteError
from gsam.files import atomic_write
from gsam.random_states import random_states, set_random_states

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset

__all__ = [
    "CHECKPOINTS",
    "CheckpointError",
    "Checkpoints",
    "about_seed",
    "failing_well",
    "random_states",
    "read_checked",
    "set_random_states",
    "write_checked",
]

#: the folder of checkpoints in the folder of a run
CHECKPOINTS = "checkpoints"


class Checkpoints:
    """The last checkpoint of a training and the one before it, in a folder.

    A training goes on from one as if it had never stopped: weights, optimizer, learning-rate schedule, the states of
    all random number generators, the position in the data, the history and the best weights so far are in it. It is
    written beside the old one and takes its place when it is complete, so whenever the process is killed, or the disk
    is full, a whole one is left.

    Args:
        folder: for ``last.pt`` and ``previous.pt``; made when the first is written.
        every: least seconds between two checkpoints; 0 takes every chance.
        about: what is trained, as JSON could hold it; a checkpoint of something else is refused.
        on_note: told what went wrong and was mended, such as a damaged file; default :func:`warnings.warn`.
        ranks: the processes of the training. The first one writes, and decides when; all of them read, from a folder
            that they share, and as many have to go on as have stopped. Each has random numbers of its own.
        apart: each process writes checkpoints of its own, in ``rank-0``, ``rank-1``, ... below the folder: for models
            of which each has other rows (:class:`~gsam.distributed.SplitEmbedding`). They go on from the newest ones
            that are of the same step.

    Raises:
        ValueError: ``every`` is negative.

    Example::

        checkpoints = Checkpoints("run/checkpoints", every=60)
        train(model, graph, optimizer, checkpoints=checkpoints)  # goes on where it was stopped
        checkpoints.remove()
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every: float = 30.0,
        about: Mapping[str, Any] | None = None,
        on_note: Callable[[str], Any] = warnings.warn,
        ranks: Ranks = ALONE,
        apart: bool = False,
    ) -> None:
        if not every >= 0:
            raise ValueError(f"expected seconds >= 0 between checkpoints, found {every}")
        self.every, self.about, self.on_note = every, dict(about or {}), on_note
        self.ranks, self.apart = ranks, apart
        self._shared = Path(folder)
        self.folder = self._shared / f"rank-{ranks.rank}" if apart else self._shared
        self._written = time.monotonic()
        self._number = 0  # of those written so far
        self._past_last = False  # the newest file is none to go on from: the one before it was taken

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.folder / "last.pt"

    @property
    def previous(self) -> Path:
        """The one before it, in case the newest is damaged."""
        return self.folder / "previous.pt"

    @property
    def due(self) -> bool:
        """Whether the time for the next one has come."""
        return self.ranks.same(time.monotonic() - self._written >= self.every)

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            model: its ``state_dict``.
            optimizer: its ``state_dict``, with its base and what it counts.
            progress: what the loop needs beside: tensors, numbers, text, lists and dictionaries of them.

        Raises:
            CheckpointError: it cannot be written; the last good one is left.
            ValueError: tables are split over processes, and checkpoints are not ``apart``.
        """
        self._check_apart(model)
        random = [random_states()] if self.apart else self.ranks.gather(random_states())
        self._number += 1
        who = self.ranks.all_do if self.apart else self.ranks.first_does
        who(lambda: self._write(model, optimizer, progress, random))
        self._written = time.monotonic()

    def _write(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Mapping[str, Any], random: list[State]
    ) -> None:
        state = {
            "about": self._about(model, optimizer),
            "model": model.state_dict(),
            "optimizer": _without_manifolds(optimizer.state_dict()),
            "number": self._number,
            "random": random,
            "progress": dict(progress),
        }
        try:
            with atomic_write(self.last) as file:
                write_checked(file, state)
                file.flush()
                os.fsync(file.fileno())  # before the old one moves
                if self.last.exists() and not self._past_last:
                    os.replace(self.last, self.previous)
            self._past_last = False
        except (OSError, RuntimeError) as error:  # torch.save raises the latter where a write fails
            kept = " the last good one is kept;" if self.last.exists() or self.previous.exists() else ""
            raise CheckpointError(
                f"expected a checkpoint to be written to {self.folder}, found {first_line(error)};{kept} make room, "
                "and go on with --resume"
            ) from error

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> State | None:
        """Put model, optimizer and random number generators into the state of the newest whole checkpoint.

        Returns:
            The ``progress`` that was saved, or ``None`` if there is no checkpoint.

        Raises:
            CheckpointError: there are checkpoints, but no whole one, or it is of something else.
            ValueError: tables are split over processes, and checkpoints are not ``apart``.
        """
        self._check_apart(model)
        self._check_layout()
        state = self._newest_of_all() if self.apart else self._newest()
        if state is None:
            return None
        self._check(state["about"], self._about(model, optimizer))
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(_with_manifolds(state["optimizer"], optimizer))
        set_random_states(state["random"][0 if self.apart else self.ranks.rank])
        self._number = state.get("number", 0)
        progress: State = state["progress"]
        return progress

    @property
    def best(self) -> Path:
        """The best weights of a training that has failed."""
        return self.folder / "best.pt"

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write weights, a model's ``state_dict``, to ``best.pt``; ``torch.load`` reads them."""
        if self.ranks.first or self.apart:
            with atomic_write(self.best) as file:
                write_checked(file, dict(weights))

    def remove(self) -> None:
        """Delete the checkpoints, when the training is finished and its results are kept."""
        if not self.ranks.first:
            return
        folders = [self._shared / f"rank-{rank}" for rank in range(self.ranks.size)] if self.apart else []
        for folder in (*folders, self._shared):
            for path in (self.last, self.previous, self.best):
                (folder / path.name).unlink(missing_ok=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _newest(self) -> State | None:
        damaged: list[str] = []
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                found = read_checked(path)
            except CheckpointError as error:
                damaged.append(str(error))
                continue
            if damaged:
                self.on_note(f"{damaged[0]}; going on from the one before")
            self._past_last = bool(damaged)
            return found
        if damaged:
            raise CheckpointError(f"{damaged[0]}; none before it is whole: delete {self.folder} to start over")
        return None

    def _newest_of_all(self) -> State | None:
        """The own one of the newest step that all processes have a checkpoint of."""
        state = self.ranks.all_do(self._newest)
        numbers = self._numbers(state)
        if set(numbers) <= {None, 1} and None in numbers:  # they were stopped before all had their first one
            self.last.unlink(missing_ok=True)
            return None
        if None in numbers:
            raise CheckpointError(
                f"expected a checkpoint of each of the {self.ranks.size} processes in {self._shared}, found none of "
                f"process {numbers.index(None)}; start as many as there were, or delete the folder to start over"
            )
        oldest = min(number for number in numbers if number is not None)
        state = self.ranks.all_do(lambda: self._of_step(state, oldest))
        if set(self._numbers(state)) != {oldest}:
            raise CheckpointError(
                f"expected checkpoints of the same step in {self._shared}, found others; delete it to start over"
            )
        return state

    def _of_step(self, newest: State | None, number: int) -> State:
        """The one before the newest, if that was written while another process was being stopped."""
        if newest is not None and newest["number"] == number:
            return newest
        self._past_last = True
        return read_checked(self.previous)

    def _numbers(self, state: State | None) -> list[int | None]:
        return self.ranks.gather(None if state is None else int(state["number"]))

    def _check_apart(self, model: nn.Module) -> None:
        if row_split(model) is not None and not self.apart:
            raise ValueError(
                "expected Checkpoints(..., apart=True) for tables that are split over processes, found checkpoints of "
                "the first one's rows"
            )

    def _check_layout(self) -> None:
        """Refuse to start over where checkpoints lie that are made in the other way."""
        apart = any(self._shared.glob("rank-*/*.pt"))
        whole = any((self._shared / path.name).exists() for path in (self.last, self.previous))
        if whole if self.apart else apart:
            one, each = "one for all processes", "one of each process"
            expected, found = (each, one) if self.apart else (one, each)
            raise CheckpointError(
                f"expected {expected} in {self._shared}, found {found}; go on with tables split, or whole, as they "
                "were, or delete the folder to start over"
            )

    def _about(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
        made = {"model": type(model).__name__, "weights": shapes, "optimizer": type(optimizer).__name__}
        return {**self.about, **self.ranks.about(), **made}

    def _check(self, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        wrong = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
        if wrong:
            name = wrong[0]
            raise CheckpointError(
                f"expected a checkpoint of this training, found one in {self.folder} with {name} {found.get(name)}, "
                f"not {expected.get(name)}; use another folder, or delete it to start over"
            )


def about_seed(config: Mapping[str, Any], seed: int, dataset: NodeDataset) -> State:
    """What is trained on one of the seeds of a configuration: :attr:`Checkpoints.about`."""
    sizes = [dataset.num_nodes, dataset.num_edges, dataset.num_features]
    return {"config": {**config, "seeds": [seed]}, "data": [dataset.name, *sizes]}


@contextmanager
def failing_well(checkpoints: Checkpoints | None, best: Callable[[], Mapping[str, Tensor]]) -> Iterator[None]:
    """Keep the best weights, if there are any, when the block ends by a :class:`~gsam.evaluation.NonFiniteError`."""
    try:
        yield
    except NonFiniteError as error:
        weights = best()
        if checkpoints is None or not weights:
            raise
        checkpoints.save_best(weights)
        raise type(error)(f"{error}; the best weights so far are in {checkpoints.best}") from error


def _without_manifolds(state: State) -> State:
    """The state of an optimizer without the modules that plain ones keep in their groups."""
    groups = [{key: value for key, value in group.items() if key != "manifold"} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


def _with_manifolds(state: State, optimizer: torch.optim.Optimizer) -> State:
    found = zip(state["param_groups"], optimizer.param_groups, strict=True)
    groups = [{**ours, **({"manifold": its["manifold"]} if "manifold" in its else {})} for ours, its in found]
    return {**state, "param_groups": groups}
