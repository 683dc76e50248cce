"""The processes of a training: which one this is, and what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

_T = TypeVar("_T")
_S = TypeVar("_S", Tensor, Sequence[Any])

#: along whose gradient a process climbs
ASCENTS = ("global", "local")


class LostProcessError(OSError):
    """Another process of the training has died or does not answer."""


@dataclass(frozen=True)
class Ranks:
    """One of the processes that train a model together; alone, it is the first of one and nothing is sent anywhere.

    Every method with an effect on others has to be called by all processes, in the same order.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.
        ascent: ``"global"``: a sharpness-aware optimizer climbs along the gradient of the joint batch, so that the
            training is the one of a single process on it. ``"local"``: each process climbs along the gradient of its
            own part, which is m-SAM with as many shards as processes and spares the exchange in that pass.

    Raises:
        ValueError: there is no such rank or ascent.
    """

    rank: int = 0
    size: int = 1
    ascent: str = "global"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"expected 0 <= rank < size, found rank {self.rank} of {self.size}")
        if self.ascent not in ASCENTS:
            raise ValueError(f"expected ascent among {', '.join(ASCENTS)}, found {self.ascent!r}")

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def about(self) -> dict[str, Any]:
        """What is recorded beside results; nothing for one process."""
        return {} if self.size == 1 else {"processes": self.size, "ascent": self.ascent}

    def bounds(self, count: int) -> tuple[int, int]:
        """Start and end of this process's share of ``count`` things; shares differ by one at most."""
        return count * self.rank // self.size, count * (self.rank + 1) // self.size

    def share(self, things: _S) -> _S:
        """This process's share of a list or of the rows of a tensor; it may be empty."""
        start, end = self.bounds(len(things))
        return things[start:end]

    def same(self, value: _T) -> _T:
        """The first process's value, small enough to be pickled."""
        if self.size == 1:
            return value
        held = [value]
        with _together():
            dist.broadcast_object_list(held, src=0)
        return held[0]

    def first_does(self, work: Callable[[], _T]) -> _T:
        """Let the first process do something the others wait for; all return what it found, or raise its error."""
        if self.size == 1:
            return work()
        found: tuple[Any, BaseException | None] = (None, None)
        if self.first:
            try:
                found = work(), None
            except Exception as error:  # told to the others, who would wait for ever
                found = None, error
        result, failure = self.same(found)
        if failure is not None:
            raise failure
        value: _T = result
        return value

    def all_do(self, work: Callable[[], _T]) -> _T:
        """Let every process do something; where it fails in one of them, all raise the error."""
        if self.size == 1:
            return work()
        failure: Exception | None = None
        try:
            found = work()
        except Exception as error:  # told to the others, who would wait for ever
            failure = error
        failures = [error for error in self.gather(failure) if error is not None]
        if failures:
            raise failure or failures[0]
        return found

    def gather(self, value: _T) -> list[_T]:
        """The values of all processes, by rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _together():
            dist.all_gather_object(found, value)
        return found

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, in place; the same bits everywhere."""
        if self.size > 1:
            with _together():
                dist.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        return values if self.size == 1 else self.sum(values.clone()).div_(self.size)

    def largest(self, values: Tensor) -> Tensor:
        """The largest of each number over the processes, in place."""
        if self.size > 1:
            with _together():
                dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return values

    def rows(self, values: Tensor) -> Tensor:
        """The rows of all processes below each other, by rank; each may have another number of them."""
        if self.size == 1:
            return values
        counts = torch.zeros(self.size, dtype=torch.long, device=values.device)
        counts[self.rank] = len(values)
        longest = int(self.sum(counts).max())
        padded = values.new_zeros(longest, *values.shape[1:])
        padded[: len(values)] = values
        found = [torch.empty_like(padded) for _ in range(self.size)]
        with _together():
            dist.all_gather(found, padded)
        return torch.cat([part[:count] for part, count in zip(found, counts.tolist(), strict=True)])

    def exchange(self, values: Tensor, going: list[int], coming: list[int]) -> Tensor:
        """Send rows to every process and receive rows from every one.

        Args:
            values: the rows for the processes, in the order of these.
            going: how many rows each of them gets.
            coming: how many each of them sends.

        Returns:
            The rows received, in the order of the processes.
        """
        if self.size == 1:
            return values
        found = values.new_empty(sum(coming), *values.shape[1:])
        with _together():
            dist.all_to_all_single(found, values.contiguous(), coming, going)
        return found

    def collect(self, values: Tensor) -> Tensor:
        """The rows of all processes below each other, on the CPU, in the first process; elsewhere the own ones."""
        counts = self.gather(len(values))
        if not self.first:
            with _together():
                dist.send(values.contiguous(), dst=0)
            return values.cpu()
        found = torch.empty(sum(counts), *values.shape[1:], dtype=values.dtype)
        parts = found.split(counts)
        parts[0].copy_(values)
        for rank in range(1, self.size):  # one part at a time is there twice
            part = values.new_empty(parts[rank].shape)
            with _together():
                dist.recv(part, src=rank)
            parts[rank].copy_(part)
        return found

    def in_turn(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns, done by one process after the other: for what takes much memory meanwhile."""
        for _ in range(self.rank):
            self.gather(None)  # which waits for all
        found = work()
        for _ in range(self.rank, self.size):
            self.gather(None)
        return found

    def draw_apart(self) -> None:
        """Give torch's random numbers of this process, such as dropout masks, a stream of their own."""
        if self.rank:
            torch.manual_seed((torch.initial_seed() + 0x9E3779B97F4A7C15 * self.rank) % 2**63)


#: one process
ALONE = Ranks()


def join(device: str = "cpu", *, ascent: str = "global", timeout: float = 600.0) -> Ranks:
    """Become one of the processes that ``torchrun`` has started; a process that it has not started stays alone.

    Args:
        device: ``"cpu"`` (they talk over gloo) or ``"cuda"`` (over NCCL); see :func:`own_device`.
        ascent: of :class:`Ranks`.
        timeout: seconds to wait for a process that does not answer.

    Raises:
        ValueError: the ascent is unknown, or the timeout is not positive.
        LostProcessError: the others do not come.
    """
    if not timeout > 0:
        raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    ranks = Ranks(rank, size, ascent)
    if size > 1 and not dist.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(own_device(device))
        with _together():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(seconds=timeout))
    return ranks


def own_device(device: str) -> str:
    """The device of this process: with several on one machine, a GPU each."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device


def leave() -> None:
    """Leave the group, if this process is in one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """Say plainly that another process is gone."""
    try:
        yield
    except RuntimeError as error:  # what every failure of a collective is, at its root
        reason = str(error).splitlines()[0][:200]
        raise LostProcessError(
            f"expected all processes of this training to answer, found one gone ({reason}); its own message says why: "
            "start them again with --resume"
        ) from error
