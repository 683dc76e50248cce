"""The meta-training loop: one for every method and optimizer."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gsam.evaluation import NonFiniteError, evaluating
from gsam.fewshot.episodes import Episode, EpisodeSampler
from gsam.fewshot.evaluation import evaluate_inputs
from gsam.fewshot.inputs import EpisodeInputs, PreparedGraph
from gsam.fewshot.method import FewShotMethod
from gsam.optim.recipes import Recipe


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to look.

    Attributes:
        episodes: training episodes at most, one optimizer step each.
        validate_every: episodes between two validations.
        patience: validations without improvement after which training stops.
    """

    episodes: int = 1000
    validate_every: int = 10
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("episodes", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")


@dataclass
class History:
    """What happened.

    Attributes:
        episode: number of training episodes at each validation.
        seconds: training time so far at each validation: sampling excluded, blocks, passes and steps included.
        loss: mean of the finite training losses since the last validation; the cheap steps of FGSAM+ give the peer's.
        val_accuracy: in percent, at each validation.
        skipped_steps: steps skipped because a gradient was not finite.
    """

    episode: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    skipped_steps: int = 0

    @property
    def best(self) -> int:
        """Position of the first best validation."""
        return max(range(len(self.val_accuracy)), key=lambda i: (self.val_accuracy[i], -i))


def train_step(
    method: FewShotMethod, inputs: EpisodeInputs, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> torch.Tensor:
    """One optimizer step on one episode; returns the loss without waiting for the device."""
    reduce = getattr(optimizer, "reduce", torch.mean)  # optimizers that choose among samples have their own

    def closure(peer: bool = False) -> torch.Tensor:
        for group in optimizer.param_groups:  # zero_grad() without its profiling, which shows at this scale
            for parameter in group["params"]:
                parameter.grad = None
        loss = method.loss(inputs, peer=peer, reduce=reduce)
        loss.backward()
        return loss.detach()

    found: torch.Tensor = recipe.step(optimizer, closure, lambda: closure(peer=True))
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
    on_validation: Callable[[History], Any] | None = None,
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
        on_validation: called with the history so far after each validation, e.g. to show progress.

    Raises:
        NonFiniteError: a score is NaN or infinite, or so are all losses since the last validation, or every step was
            skipped.
    """
    schedule = schedule or Schedule()
    history, seconds, skipped = History(), 0.0, getattr(optimizer, "skipped_steps", 0)
    tasks = [graph.inputs(episode) for episode in validation]  # kept: their blocks are cut once
    best = copy.deepcopy(method.state_dict())
    method.train()
    with evaluating(method):
        method.choose(tasks)
    for start in range(0, schedule.episodes, schedule.validate_every):
        episodes = sampler.take(min(schedule.validate_every, schedule.episodes - start), start)
        losses, spent = _train_on(episodes, method, graph, optimizer, recipe)
        seconds += spent
        with evaluating(method):
            method.choose(tasks)
        _record(history, start + len(episodes), seconds, losses, evaluate_inputs(method, tasks))
        waited = len(history.episode) - 1 - history.best
        if not waited:
            best = copy.deepcopy(method.state_dict())
        if on_validation is not None:
            on_validation(history)
        if waited >= schedule.patience:
            break
    method.load_state_dict(best)
    method.eval()
    history.skipped_steps = getattr(optimizer, "skipped_steps", 0)
    if history.skipped_steps - skipped >= history.episode[-1]:
        raise NonFiniteError("expected finite gradients, found none in any step; lower --lr or scale the features down")
    return history


def _train_on(
    episodes: Sequence[Episode],
    method: FewShotMethod,
    graph: PreparedGraph,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> tuple[list[torch.Tensor], float]:
    """A step on each episode; the losses, and the seconds until the device had finished."""
    started = time.perf_counter()
    losses = [train_step(method, graph.inputs(episode), optimizer, recipe) for episode in episodes]
    _wait_for(graph.degree.device)
    return losses, time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _record(history: History, number: int, seconds: float, losses: list[torch.Tensor], val_accuracy: float) -> None:
    found = torch.stack(losses)
    finite = found[found.isfinite()]  # the steps of the others were skipped
    if not finite.numel():
        raise NonFiniteError(f"expected a finite loss, found none in {len(losses)} episodes up to {number}; lower --lr")
    history.episode.append(number)
    history.seconds.append(seconds)
    history.loss.append(float(finite.mean()))
    history.val_accuracy.append(val_accuracy)
