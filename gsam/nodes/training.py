"""Full-batch training on the nodes of one graph: one loop for every model and optimizer."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gsam.evaluation import NonFiniteError, evaluating
from gsam.nodes.graph import NodeGraph
from gsam.nodes.scoring import score
from gsam.nodes.splits import NodeSplit
from gsam.optim.recipes import Recipe


@dataclass(frozen=True)
class EpochSchedule:
    """How long to train and when to look.

    Attributes:
        epochs: optimizer steps at most.
        validate_every: epochs between two validations.
        patience: validations without improvement after which training stops.
    """

    epochs: int = 200
    validate_every: int = 1
    patience: int = 50

    def __post_init__(self) -> None:
        for name in ("epochs", "validate_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")


@dataclass
class EpochHistory:
    """What happened.

    Attributes:
        epoch: number of epochs at each validation.
        seconds: training time so far at each validation: passes and steps alone.
        loss: mean of the finite training losses since the last validation; the cheap steps of FGSAM+ give the peer's.
        val_score: in percent, at each validation.
        skipped_steps: steps skipped because a gradient was not finite.
    """

    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_score: list[float] = field(default_factory=list)
    skipped_steps: int = 0

    @property
    def best(self) -> int:
        """Position of the first best validation."""
        return max(range(len(self.val_score)), key=lambda i: (self.val_score[i], -i))


class NodeTask:
    """The loss of a model on the training nodes, and its score on any.

    Args:
        inputs: prepared for the model.
        split: which nodes are for what, on the device of the inputs.
        metric: ``"accuracy"`` or ``"roc_auc"``.
    """

    def __init__(self, inputs: NodeGraph, split: NodeSplit, metric: str) -> None:
        self.inputs, self.split, self.metric = inputs, split, metric
        self._targets = inputs.labels[split.train]

    def step(self, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe) -> Callable[[], Tensor]:
        """A training step of one epoch, to be called again and again; returns the loss without waiting for it."""
        peer, train = self.inputs.peer(model, self.split.train), self.split.train
        reduce: Callable[[Tensor], Tensor] = getattr(optimizer, "reduce", Tensor.mean)  # ESAM's and mSAM's choice

        def closure(logits: Callable[[], Tensor]) -> Tensor:
            optimizer.zero_grad()
            loss = reduce(F.cross_entropy(logits(), self._targets, reduction="none"))
            loss.backward()
            return loss.detach()

        def step() -> Tensor:
            found: Tensor = recipe.step(
                optimizer,
                lambda: closure(lambda: self.inputs.logits(model)[train]),
                lambda: closure(peer.logits),
            )
            return found

        return step

    @torch.no_grad()
    def score(self, model: nn.Module, nodes: Tensor) -> float:
        """The score on ``nodes`` in evaluation mode, in percent; the model's mode is put back afterwards.

        Raises:
            NonFiniteError: a logit is NaN or infinite.
        """
        with evaluating(model):
            return score(self.inputs.logits(model)[nodes], self.inputs.labels[nodes], self.metric)


def train_nodes(
    model: nn.Module,
    task: NodeTask,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    schedule: EpochSchedule | None = None,
    on_validation: Callable[[EpochHistory], Any] | None = None,
) -> EpochHistory:
    """Train on the whole graph, keep the weights of the best validation, stop when it no longer improves.

    Args:
        model: trained in place; on return it has the weights of the best validation and is in evaluation mode.
        task: the loss and the score.
        optimizer: over the model's parameters.
        recipe: says which closures the optimizer takes.
        schedule: default :class:`EpochSchedule`.
        on_validation: called with the history so far after each validation, e.g. to show progress.

    Raises:
        NonFiniteError: a score is NaN or infinite, or so are all losses since the last validation, or every step was
            skipped.
    """
    schedule = schedule or EpochSchedule()
    history, best = EpochHistory(), copy.deepcopy(model.state_dict())
    skipped = getattr(optimizer, "skipped_steps", 0)
    step = task.step(model, optimizer, recipe)
    model.train()
    for start in range(0, schedule.epochs, schedule.validate_every):
        count = min(schedule.validate_every, schedule.epochs - start)
        losses, seconds = _timed(step, count, task.inputs.labels.device)
        _record(history, start + count, seconds, losses)
        history.val_score.append(task.score(model, task.split.val))
        waited = len(history.epoch) - 1 - history.best
        if not waited:
            best = copy.deepcopy(model.state_dict())
        if on_validation is not None:
            on_validation(history)
        if waited >= schedule.patience:
            break
    model.load_state_dict(best)
    model.eval()
    history.skipped_steps = getattr(optimizer, "skipped_steps", 0)
    if history.skipped_steps - skipped >= history.epoch[-1]:
        raise NonFiniteError("expected finite gradients, found none in any step; lower --lr or scale the features down")
    return history


def _timed(step: Callable[[], Tensor], count: int, device: torch.device) -> tuple[list[Tensor], float]:
    """So many steps; their losses, and the seconds until the device had finished."""
    started = time.perf_counter()
    losses = [step() for _ in range(count)]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return losses, time.perf_counter() - started


def _record(history: EpochHistory, epoch: int, seconds: float, losses: list[Tensor]) -> None:
    found = torch.stack(losses)
    finite = found[found.isfinite()]  # the steps of the others were skipped
    if not finite.numel():
        raise NonFiniteError(f"expected a finite loss, found none in {len(losses)} epochs up to {epoch}; lower --lr")
    history.epoch.append(epoch)
    history.seconds.append(seconds + (history.seconds[-1] if history.seconds else 0.0))
    history.loss.append(float(finite.mean()))
