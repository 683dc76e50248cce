"""Full-batch training on the nodes of one graph: one loop for every model and optimizer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gsam.checkpoints import Checkpoints
from gsam.distributed import ALONE, Ranks, Replica
from gsam.evaluation import evaluating
from gsam.nodes.graph import NodeGraph
from gsam.nodes.scoring import score
from gsam.nodes.splits import NodeSplit
from gsam.optim.recipes import Recipe
from gsam.optim.sharpness_aware import Closure
from gsam.optim.step_guard import StepGuard
from gsam.rounds import RoundHistory, train_in_rounds


@dataclass(frozen=True)
class EpochSchedule:
    """How long to train and when to look.

    Attributes:
        epochs: optimizer steps at most.
        validate_every: epochs between two validations.
        patience: validations without improvement after which training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, after which training fails.
    """

    epochs: int = 200
    validate_every: int = 1
    patience: int = 50
    max_skipped: int = 100

    def __post_init__(self) -> None:
        for name in ("epochs", "validate_every", "patience", "max_skipped"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")

    @property
    def total(self) -> int:
        """Epochs at most."""
        return self.epochs

    def steps(self, epochs: int) -> int:
        """Optimizer steps that so many epochs make: one each."""
        return epochs


@dataclass
class EpochHistory(RoundHistory):
    """What happened.

    Attributes:
        epoch: number of epochs at each validation.
        seconds: training time so far at each validation: passes and steps alone.
        loss: mean of the finite training losses since the last validation; the cheap steps of FGSAM+ give the peer's.
        val_score: in percent, at each validation.
        skipped_steps: steps skipped because a gradient was not finite.
    """

    unit: ClassVar[str] = "epoch"
    measure: ClassVar[str] = "val_score"
    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    val_score: list[float] = field(default_factory=list)
    skipped_steps: int = 0


class NodeTask:
    """The loss of a model on the training nodes, and its score on any.

    Args:
        inputs: prepared for the model.
        split: which nodes are for what, on the device of the inputs.
        metric: ``"accuracy"`` or ``"roc_auc"``.
        ranks: the processes that train together; each has the whole graph and a share of the training nodes.

    Raises:
        ValueError: there are more processes than training nodes.
    """

    def __init__(self, inputs: NodeGraph, split: NodeSplit, metric: str, ranks: Ranks = ALONE) -> None:
        self.inputs, self.split, self.metric, self.ranks = inputs, split, metric, ranks
        if len(split.train) < ranks.size:
            raise ValueError(f"expected a training node for each of {ranks.size} processes, found {len(split.train)}")
        self._train = split.train[ranks.rank :: ranks.size]  # neighbours in the list may be of one class
        self._targets = inputs.labels[self._train]
        self._weight = len(self._train) / len(split.train)

    def step(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, guard: StepGuard | None = None
    ) -> Callable[[], Tensor]:
        """A training step of one epoch, to be called again and again; it returns the loss.

        It waits for the loss if there is a guard.
        """
        replica, train = Replica(model, self.ranks, optimizer), self._train
        peer = self.inputs.peer(model, train)
        reduce: Callable[[Tensor], Tensor] = getattr(optimizer, "reduce", Tensor.mean)  # ESAM's and mSAM's choice

        def closure(logits: Callable[[], Tensor]) -> Tensor:
            optimizer.zero_grad()
            loss = reduce(F.cross_entropy(logits(), self._targets, reduction="none"))
            loss.backward()
            return loss.detach()

        def graph_closure() -> Tensor:
            return closure(lambda: self.inputs.logits(model)[train])

        def peer_closure() -> Tensor:
            return closure(peer.logits)

        passes: list[Closure] = [replica.closure(one, self._weight) for one in (graph_closure, peer_closure)]
        if guard is not None:
            passes = [guard.closure(one) for one in passes]

        def step() -> Tensor:
            found: Tensor = recipe.step(optimizer, *passes)
            if guard is not None:
                guard.check()
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
    checkpoints: Checkpoints | None = None,
    on_validation: Callable[[EpochHistory], Any] | None = None,
) -> EpochHistory:
    """Train on the whole graph, keep the weights of the best validation, stop when it no longer improves.

    Args:
        model: trained in place; on return it has the weights of the best validation and is in evaluation mode.
        task: the loss and the score.
        optimizer: over the model's parameters.
        recipe: says which closures the optimizer takes.
        schedule: default :class:`EpochSchedule`.
        checkpoints: where training goes on if it was stopped, and where it keeps its state after validations.
        on_validation: called with the history so far after each validation, e.g. to show progress.

    Raises:
        NonFiniteError: a score is NaN or infinite, or so are all losses since the last validation, or too many steps
            in a row, or all of them, were skipped. The model then has the weights of the best validation so far.
        CheckpointError: a checkpoint cannot be written, is damaged, or is of another training.
    """
    schedule = schedule or EpochSchedule()
    guard = StepGuard(model, optimizer, schedule.max_skipped)
    step = task.step(model, optimizer, recipe, guard)
    return train_in_rounds(
        model,
        optimizer,
        EpochHistory,
        schedule,
        guard,
        steps=lambda start, stop: _timed(step, stop - start, task.inputs.labels.device),
        score=lambda: task.score(model, task.split.val),
        checkpoints=checkpoints,
        on_validation=on_validation,
        ranks=task.ranks,
    )


def _timed(step: Callable[[], Tensor], count: int, device: torch.device) -> tuple[list[Tensor], float]:
    """So many steps; their losses, and the seconds until the device had finished."""
    started = time.perf_counter()
    losses = [step() for _ in range(count)]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return losses, time.perf_counter() - started
