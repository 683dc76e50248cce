"""The meta-training loop: one for every method and optimizer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from gsam.checkpoints import Checkpoints
from gsam.distributed import ALONE, Ranks, Replica
from gsam.evaluation import evaluating
from gsam.fewshot.episodes import Episode, EpisodeSampler
from gsam.fewshot.evaluation import evaluate_inputs
from gsam.fewshot.inputs import EpisodeInputs, PreparedGraph
from gsam.fewshot.method import FewShotMethod
from gsam.optim.recipes import Recipe
from gsam.optim.sharpness_aware import Closure
from gsam.optim.step_guard import StepGuard
from gsam.rounds import RoundHistory, train_in_rounds


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to look.

    Attributes:
        episodes: training episodes at most.
        validate_every: episodes between two validations.
        patience: validations without improvement after which training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, after which training fails.
        meta_batch_size: training episodes of one optimizer step, whose losses are averaged; the last step before a
            validation takes what is left.
    """

    episodes: int = 1000
    validate_every: int = 10
    patience: int = 10
    max_skipped: int = 100
    meta_batch_size: int = 1

    def __post_init__(self) -> None:
        for name in ("episodes", "validate_every", "patience", "max_skipped", "meta_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")

    @property
    def total(self) -> int:
        """Training episodes at most."""
        return self.episodes

    def steps(self, episodes: int) -> int:
        """Optimizer steps that so many episodes make."""
        whole, rest = divmod(episodes, self.validate_every)
        return whole * -(-self.validate_every // self.meta_batch_size) + -(-rest // self.meta_batch_size)


@dataclass
class History(RoundHistory):
    """What happened.

    Attributes:
        episode: number of training episodes at each validation.
        seconds: training time so far at each validation: sampling excluded, blocks, passes and steps included.
        loss: mean of the finite training losses since the last validation; the cheap steps of FGSAM+ give the peer's.
        val_accuracy: in percent, at each validation.
        skipped_steps: steps skipped because a gradient was not finite.
    """

    unit: ClassVar[str] = "episode"
    measure: ClassVar[str] = "val_accuracy"
    episode: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    skipped_steps: int = 0


def train_step(
    method: FewShotMethod,
    inputs: EpisodeInputs | Sequence[EpisodeInputs],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    guard: StepGuard | None = None,
    average: Callable[[Closure], Closure] | None = None,
) -> torch.Tensor:
    """One optimizer step on one episode, or on the mean loss of several.

    Args:
        method: what is trained.
        inputs: of the episode or the episodes.
        optimizer: over its parameters.
        recipe: says which closures the optimizer takes.
        guard: looks at the step.
        average: makes a closure one whose gradients are averaged over processes, see
            :meth:`gsam.distributed.Replica.closure`.

    Returns:
        The loss, without waiting for the device unless there is a guard.
    """
    reduce = getattr(optimizer, "reduce", torch.mean)  # optimizers that choose among samples have their own
    tasks = [inputs] if isinstance(inputs, EpisodeInputs) else inputs

    def closure(peer: bool = False) -> torch.Tensor:
        for group in optimizer.param_groups:  # zero_grad() without its profiling, which shows at this scale
            for parameter in group["params"]:
                parameter.grad = None
        losses = []
        for task in tasks:  # one graph of operations at a time
            loss = method.loss(task, peer=peer, reduce=reduce)
            loss = loss if len(tasks) == 1 else loss / len(tasks)
            loss.backward()
            losses.append(loss.detach())
        if not losses:  # a process may have none of a small batch
            return optimizer.param_groups[0]["params"][0].new_zeros(())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def peer_closure() -> torch.Tensor:
        return closure(peer=True)

    passes: list[Closure] = [closure, peer_closure]
    for wrap in (average, None if guard is None else guard.closure):
        passes = passes if wrap is None else [wrap(one) for one in passes]
    found: torch.Tensor = recipe.step(optimizer, *passes)
    if guard is not None:
        guard.check()
    return found


def meta_train(
    method: FewShotMethod,
    graph: PreparedGraph,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    sampler: EpisodeSampler,
    validation: Sequence[Episode],
    *,
    schedule: Schedule | None = None,
    checkpoints: Checkpoints | None = None,
    on_validation: Callable[[History], Any] | None = None,
    ranks: Ranks = ALONE,
) -> History:
    """Train on episodes, keep the weights of the best validation, stop when it no longer improves.

    Args:
        method: trained in place; on return it has the weights of the best validation and is in evaluation mode.
        graph: the prepared graph.
        optimizer: over the method's parameters.
        recipe: says which closures the optimizer takes.
        sampler: of training episodes, on base classes.
        validation: episodes on validation classes.
        schedule: default :class:`Schedule`.
        checkpoints: where training goes on if it was stopped, and where it keeps its state after validations.
        on_validation: called with the history so far after each validation, e.g. to show progress.
        ranks: the processes that train together; they share the episodes of each step.

    Raises:
        ValueError: a step has fewer episodes than there are processes, or the optimizer has no local ascent.
        NonFiniteError: a score is NaN or infinite, or so are all losses since the last validation, or too many steps
            in a row, or all of them, were skipped. The method then has the weights of the best validation so far.
        CheckpointError: a checkpoint cannot be written, is damaged, or is of another training.
    """
    schedule = schedule or Schedule()
    if schedule.meta_batch_size < ranks.size:
        raise ValueError(
            f"expected a meta_batch_size of at least {ranks.size}, an episode for each process, found "
            f"{schedule.meta_batch_size}; raise it, or start fewer processes"
        )
    replica = Replica(method, ranks, optimizer)
    tasks = [graph.inputs(episode) for episode in validation]  # kept: their blocks are cut once
    guard = StepGuard(method, optimizer, schedule.max_skipped)
    steps = _Steps(method, graph, optimizer, recipe, guard, replica, schedule.meta_batch_size)

    def choose() -> None:
        with evaluating(method):
            method.choose(tasks)

    def score() -> float:
        choose()
        return evaluate_inputs(method, tasks, ranks)

    choose()
    return train_in_rounds(
        method,
        optimizer,
        History,
        schedule,
        guard,
        steps=lambda start, stop: steps.on(sampler.take(stop - start, start)),
        score=score,
        checkpoints=checkpoints,
        on_validation=on_validation,
        ranks=ranks,
    )


@dataclass(frozen=True)
class _Steps:
    """Training steps of one process, with what they need beside episodes."""

    method: FewShotMethod
    graph: PreparedGraph
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    guard: StepGuard
    replica: Replica
    meta_batch_size: int

    def on(self, episodes: Sequence[Episode]) -> tuple[list[torch.Tensor], float]:
        """The losses of the steps on episodes, and the seconds until the device had finished."""
        started, size = time.perf_counter(), self.meta_batch_size
        losses = [self._on_batch(episodes[i : i + size]) for i in range(0, len(episodes), size)]
        _wait_for(self.graph.degree.device)
        return losses, time.perf_counter() - started

    def _on_batch(self, episodes: Sequence[Episode]) -> torch.Tensor:
        mine = self.replica.ranks.share(episodes)
        inputs = [self.graph.inputs(episode) for episode in mine]

        def average(closure: Closure) -> Closure:
            return self.replica.closure(closure, len(mine) / len(episodes))

        return train_step(self.method, inputs, self.optimizer, self.recipe, self.guard, average)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
