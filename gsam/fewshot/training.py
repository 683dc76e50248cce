"""The meta-training loop: one for every method and optimizer."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from gsam.checkpoints import Checkpoints, begin, failing_well
from gsam.evaluation import NonFiniteError, evaluating
from gsam.fewshot.episodes import Episode, EpisodeSampler
from gsam.fewshot.evaluation import evaluate_inputs
from gsam.fewshot.inputs import EpisodeInputs, PreparedGraph
from gsam.fewshot.method import FewShotMethod
from gsam.optim.recipes import Recipe
from gsam.optim.step_guard import StepGuard


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to look.

    Attributes:
        episodes: training episodes at most, one optimizer step each.
        validate_every: episodes between two validations.
        patience: validations without improvement after which training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, after which training fails.
    """

    episodes: int = 1000
    validate_every: int = 10
    patience: int = 10
    max_skipped: int = 100

    def __post_init__(self) -> None:
        for name in ("episodes", "validate_every", "patience", "max_skipped"):
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

    @property
    def trained(self) -> int:
        """Training episodes so far."""
        return self.episode[-1] if self.episode else 0

    @property
    def waited(self) -> int:
        """Validations since the best one."""
        return len(self.episode) - 1 - self.best if self.episode else 0


def train_step(
    method: FewShotMethod,
    inputs: EpisodeInputs,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    guard: StepGuard | None = None,
) -> torch.Tensor:
    """One optimizer step on one episode; returns the loss, without waiting for the device unless there is a guard."""
    reduce = getattr(optimizer, "reduce", torch.mean)  # optimizers that choose among samples have their own

    def closure(peer: bool = False) -> torch.Tensor:
        for group in optimizer.param_groups:  # zero_grad() without its profiling, which shows at this scale
            for parameter in group["params"]:
                parameter.grad = None
        loss = method.loss(inputs, peer=peer, reduce=reduce)
        loss.backward()
        return loss.detach()

    def peer_closure() -> torch.Tensor:
        return closure(peer=True)

    if guard is None:
        found: torch.Tensor = recipe.step(optimizer, closure, peer_closure)
        return found
    found = recipe.step(optimizer, guard.closure(closure), guard.closure(peer_closure))
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

    Raises:
        NonFiniteError: a score is NaN or infinite, or so are all losses since the last validation, or too many steps
            in a row, or all of them, were skipped. The method then has the weights of the best validation so far.
        CheckpointError: a checkpoint cannot be written, is damaged, or is of another training.
    """
    schedule = schedule or Schedule()
    tasks = [graph.inputs(episode) for episode in validation]  # kept: their blocks are cut once
    guard = StepGuard(method, optimizer, schedule.max_skipped)
    method.train()
    with evaluating(method):
        method.choose(tasks)
    history, best = begin(checkpoints, method, optimizer, History)
    guard.skipped = history.skipped_steps
    try:
        with failing_well(checkpoints, lambda: best):
            for start in range(history.trained, schedule.episodes, schedule.validate_every):
                episodes = sampler.take(min(schedule.validate_every, schedule.episodes - start), start)
                losses, spent = _train_on(episodes, method, graph, optimizer, recipe, guard)
                with evaluating(method):
                    method.choose(tasks)
                _record(history, spent, losses, evaluate_inputs(method, tasks), guard.skipped)
                if not history.waited:
                    best = copy.deepcopy(method.state_dict())
                if on_validation is not None:
                    on_validation(history)
                if history.waited >= schedule.patience:
                    break
                if checkpoints is not None and checkpoints.due:
                    checkpoints.save(method, optimizer, {"history": asdict(history), "best": best})
            guard.check_any(history.trained)
    finally:
        method.load_state_dict(best)
        method.eval()
    return history


def _train_on(
    episodes: Sequence[Episode],
    method: FewShotMethod,
    graph: PreparedGraph,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    guard: StepGuard,
) -> tuple[list[torch.Tensor], float]:
    """A step on each episode; the losses, and the seconds until the device had finished."""
    started = time.perf_counter()
    losses = [train_step(method, graph.inputs(episode), optimizer, recipe, guard) for episode in episodes]
    _wait_for(graph.degree.device)
    return losses, time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _record(history: History, seconds: float, losses: list[torch.Tensor], val_accuracy: float, skipped: int) -> None:
    found, number = torch.stack(losses), history.trained + len(losses)
    finite = found[found.isfinite()]  # the steps of the others were skipped
    if not finite.numel():
        raise NonFiniteError(f"expected a finite loss, found none in {len(losses)} episodes up to {number}; lower --lr")
    history.episode.append(number)
    history.seconds.append(seconds + (history.seconds[-1] if history.seconds else 0.0))
    history.loss.append(float(finite.mean()))
    history.val_accuracy.append(val_accuracy)
    history.skipped_steps = skipped
