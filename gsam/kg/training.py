"""The training loop of knowledge-graph models: one for every model, loss, kind of negatives and optimizer."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsam.checkpoints import Checkpoints, failing_well
from gsam.distributed import ALONE, Ranks, Replica, average_statistics, row_split
from gsam.evaluation import NonFiniteError
from gsam.kg.averaging import WeightAverage
from gsam.kg.batches import Batch
from gsam.kg.clipping import clip_gradients
from gsam.kg.filters import KnownTails
from gsam.kg.groups import invariants_as_they_are
from gsam.kg.limits import constrain
from gsam.kg.losses import LossOptions
from gsam.kg.objective import Objective, Sampling
from gsam.kg.ranking import known_triples, rank
from gsam.kg.schedule import TrainingSchedule
from gsam.kg.scoring_model import ScoringModel
from gsam.kg.triples import with_reciprocals
from gsam.optim import SharpnessAware, StepGuard

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph


HITS = ("hits@1", "hits@3", "hits@10")


@dataclass
class TrainingHistory:
    """What happened.

    Attributes:
        epoch: number of epochs at each validation.
        seconds: training time so far at each validation: batches, passes and steps alone.
        loss: mean of the finite training losses since the last validation, at each validation.
        mrr: filtered mean reciprocal rank over both sides at each validation.
        hits: filtered Hits@1, @3 and @10 over both sides at each validation.
        epoch_seconds: training time of each epoch.
        epoch_loss: mean of the finite training losses of each epoch.
        skipped_steps: steps skipped because a gradient was not finite.
        eval_seconds: time of all validations.
    """

    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    mrr: list[float] = field(default_factory=list)
    hits: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HITS})
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_loss: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    eval_seconds: float = 0.0

    @property
    def best(self) -> int:
        """Position of the first best validation."""
        return max(range(len(self.mrr)), key=lambda i: (self.mrr[i], -i))

    @property
    def waited(self) -> int:
        """Validations since the best one."""
        return len(self.mrr) - 1 - self.best if self.mrr else 0


OnEpoch = Callable[[TrainingHistory], Any]


def train(
    model: nn.Module,
    graph: KnowledgeGraph,
    optimizer: torch.optim.Optimizer,
    *,
    sampling: Sampling | None = None,
    loss: LossOptions | None = None,
    schedule: TrainingSchedule | None = None,
    known: KnownTails | None = None,
    checkpoints: Checkpoints | None = None,
    on_epoch: OnEpoch | None = None,
    ranks: Ranks = ALONE,
) -> TrainingHistory:
    """Train on the triples of a graph and their reciprocals, and keep the weights of the best validation.

    A step whose gradient is not finite is skipped, whatever the optimizer; to know it, the device is waited for once a
    step.

    Args:
        model: with ``2 R`` relation types for the R relations of the graph, prepared by their triples
            (:meth:`KGModel.prepare`) and trained in place; on return it has the weights with the best filtered
            validation MRR, and is in evaluation mode. Its tables may be split over the processes
            (:func:`~gsam.kg.split_entities`).
        graph: its training triples are learnt, its validation triples choose.
        optimizer: over the model's parameters. Its ``step`` takes a closure, which it may call several times: all
            passes of a step see the same batch and the same negatives.
        sampling: batches and negatives; default :class:`Sampling`.
        loss: default :class:`LossOptions`.
        schedule: default :class:`TrainingSchedule`.
        known: of :func:`~gsam.kg.known_triples`, if the caller has them already.
        checkpoints: where training goes on if it was stopped, and where it keeps its state after steps.
        on_epoch: called with the history so far after each epoch, e.g. to show progress.
        ranks: the processes that train together; they share the triples of each batch, and those that are ranked.

    Raises:
        ValueError: the model has another number of entities or relation types, there are no validation triples, the
            optimizer has no local ascent, or split tables meet something that needs whole ones.
        NonFiniteError: a score is NaN or infinite, or so are all losses of an epoch, or too many steps in a row, or all
            of them, were skipped. The model then has the weights of the best validation so far, if there was one.
        CheckpointError: a checkpoint cannot be written, is damaged, or is of another training.
    """
    schedule = schedule or TrainingSchedule()
    sampling, loss = sampling or Sampling(), loss or LossOptions()
    trainer = _Trainer(model, graph, optimizer, sampling, loss, schedule, known, ranks)
    if checkpoints is None or not trainer.restored(checkpoints):
        ranks.draw_apart()
    history = trainer.history
    try:
        with failing_well(checkpoints, lambda: trainer.best):
            for epoch in range(len(history.epoch_seconds) + 1, schedule.epochs + 1):
                model.train()
                trainer.epoch(checkpoints)
                last = epoch == schedule.epochs or sum(history.epoch_seconds) >= (schedule.max_seconds or math.inf)
                if last or epoch % schedule.validate_every == 0:
                    trainer.validate()
                if on_epoch is not None:
                    on_epoch(history)
                if last or history.waited >= schedule.patience:
                    break
    finally:
        if trainer.best:
            model.load_state_dict(trainer.best)
        model.eval()
    return history


class _Trainer:
    """What is trained, and how far it has come."""

    def __init__(
        self,
        model: nn.Module,
        graph: KnowledgeGraph,
        optimizer: torch.optim.Optimizer,
        sampling: Sampling,
        loss: LossOptions,
        schedule: TrainingSchedule,
        known: KnownTails | None,
        ranks: Ranks,
    ) -> None:
        _check_sizes(model, graph)
        _check_split(model, sampling)
        self.model, self.graph, self.optimizer, self.schedule = model, graph, optimizer, schedule
        self.device = next(model.parameters()).device
        triples = with_reciprocals(graph.train, graph.num_relations).to(self.device)
        if isinstance(model, ScoringModel):
            model.prepare(triples)
        self.known = known or known_triples(graph, self.device)  # for validation alone
        self.ranks, self.replica = ranks, Replica(model, ranks, optimizer)
        self.batches, self.sampler = sampling.build(triples, graph.num_entities, 2 * graph.num_relations, ranks)
        self.objective = Objective(model, loss, count=self.sampler.count)
        self.average = WeightAverage(model, schedule.average) if schedule.average else None
        self.reduce: Callable[[Tensor], Tensor] = getattr(optimizer, "reduce", Tensor.mean)  # ESAM's, mSAM's choice
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.guard = StepGuard(model, optimizer, schedule.max_skipped, shards=self.replica.shards)
        self.history, self.best = TrainingHistory(), dict[str, Tensor]()
        self.steps, self.total = 0, schedule.epochs * len(self.batches)
        self.losses: list[Tensor] = []  # of the epoch under way
        self.elapsed = 0.0  # seconds it had taken when it was interrupted
        self.order = self.batches.generator.get_state()  # what its order was drawn from
        self.bound = schedule.max_grad_norm
        if isinstance(optimizer, SharpnessAware) and self.bound is not None:  # which clips what its passes make
            optimizer.max_grad_norm, self.bound = self.bound, None

    def restored(self, checkpoints: Checkpoints) -> bool:
        """Go on from a checkpoint, if there is one."""
        found = checkpoints.restore(self.model, self.optimizer)
        if found is None:
            return False
        self.history, self.best = TrainingHistory(**found["history"]), found["best"]
        self.steps, self.elapsed, self.order = found["steps"], found["elapsed"], found["order"]
        self.losses = list(found["losses"].to(self.device))
        self.sampler.load_state(found["sampler"])
        self.guard.skipped = found["skipped"]
        if self.average is not None:
            self.average.load_state(found["average"])
        return True

    def keep(self, checkpoints: Checkpoints, elapsed: float) -> None:
        """Write a checkpoint after a step."""
        progress = {
            "history": asdict(self.history),
            "best": self.best,
            "steps": self.steps,
            "elapsed": elapsed,
            "order": self.order,
            "losses": self.ranks.mean(torch.stack(self.losses)),  # a local ascent leaves each process its own
            "sampler": self.sampler.state(),
            "skipped": self.guard.skipped,
            "average": None if self.average is None else self.average.state(),
        }
        checkpoints.save(self.model, self.optimizer, progress)

    def epoch(self, checkpoints: Checkpoints | None) -> None:
        """One pass over the triples, or what is left of one."""
        history = self.history
        before, started = sum(history.epoch_seconds), time.perf_counter() - self.elapsed
        for batch in self._batches():
            self._set_rates(before, started)
            self.losses.append(self.step(batch))
            if checkpoints is not None and checkpoints.due:
                self.keep(checkpoints, time.perf_counter() - started)
        found = self.ranks.mean(torch.stack(self.losses))
        finite = found[found.isfinite()]  # the steps of the others were skipped
        loss = float(finite.mean())
        history.epoch_seconds.append(self.ranks.same(time.perf_counter() - started))
        history.skipped_steps = self.guard.skipped
        self.losses, self.elapsed = [], 0.0
        number = len(history.epoch_seconds)
        if not finite.numel():
            raise NonFiniteError(f"expected a finite loss, found none in epoch {number}; lower --lr")
        if history.skipped_steps == self.steps:
            raise NonFiniteError(f"expected finite gradients, found none in the {self.steps} steps so far; lower --lr")
        history.epoch_loss.append(loss)

    def _batches(self) -> Iterator[Batch]:
        generator = self.batches.generator
        if not self.losses:
            self.order = generator.get_state()
            return self.batches.epoch()
        here = generator.get_state()  # negatives have been drawn since the order was
        generator.set_state(self.order)
        left = self.batches.epoch(skip=len(self.losses))
        generator.set_state(here)
        return left

    def step(self, batch: Batch) -> Tensor:
        """One optimizer step; the loss, without waiting for it."""
        negatives = self.sampler.draw(batch)

        def closure() -> Tensor:
            for parameter in self.model.parameters():
                parameter.grad = None
            loss = self.reduce(self.objective.losses(batch, negatives))
            loss.backward()
            return loss.detach()

        averaged = self.replica.closure(closure, batch.weight)

        def clipped() -> Tensor:
            loss = averaged()
            if self.bound is not None:
                clip_gradients(self.model.parameters(), self.bound, self.replica.shards)
            return loss

        take: Any = self.optimizer.step
        with invariants_as_they_are():
            loss: Tensor = take(self.guard.closure(clipped))
            self.guard.check()
        constrain(self.model, self.optimizer, self.objective.touched(batch, negatives))
        if self.average is not None:
            self.average.update()
        return loss

    def validate(self) -> None:
        """Rank the validation triples, and keep the weights if they are the best."""
        average_statistics(self.model, self.ranks)
        with nullcontext() if self.average is None else self.average.applied():
            self._rank()
            if not self.history.waited:
                self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    def _rank(self) -> None:
        started, history = time.perf_counter(), self.history
        self.model.eval()
        found = rank(self.model, self.graph, "valid", known=self.known, ranks=self.ranks).metrics()["both"]
        since = history.epoch[-1] if history.epoch else 0
        history.epoch.append(len(history.epoch_seconds))
        history.seconds.append(sum(history.epoch_seconds))
        history.loss.append(statistics.fmean(history.epoch_loss[since:]))
        history.mrr.append(found["mrr"])
        for name in HITS:
            history.hits[name].append(found[name])
        history.eval_seconds += time.perf_counter() - started

    def _set_rates(self, before: float, started: float) -> None:
        seconds = before + time.perf_counter() - started
        if self.schedule.max_seconds is not None:  # by which the rates fall
            seconds = self.ranks.same(seconds)
        factor = self.schedule.factor(self.steps, self.total, seconds)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.steps += 1


def _check_sizes(model: nn.Module, graph: KnowledgeGraph) -> None:
    expected = (graph.num_entities, 2 * graph.num_relations)
    found = (model.num_nodes, model.num_relations)
    if found != expected:
        raise ValueError(
            f"expected a model of {expected[0]} entities and {expected[1]} relation types (those of the graph and "
            f"their reciprocals), found {found[0]} and {found[1]}"
        )
    if not len(graph.valid):
        raise ValueError("expected validation triples to choose the weights by, found none")


def _check_split(model: nn.Module, sampling: Sampling) -> None:
    if row_split(model) is not None and sampling.negatives == "all":
        raise ValueError(
            "expected negatives 'shared' or 'per-triple' with tables that are split over processes, found 'all', "
            "for which each would need all rows"
        )
