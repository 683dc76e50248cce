"""Accuracy over episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gsam.distributed import ALONE, Ranks
from gsam.evaluation import NonFiniteError, evaluating
from gsam.fewshot.episodes import Episode
from gsam.fewshot.inputs import EpisodeInputs, PreparedGraph
from gsam.fewshot.method import FewShotMethod


def accuracy(score: Callable[[Episode], Tensor], episodes: Sequence[Episode]) -> float:
    """Mean accuracy on the queries, in percent.

    Args:
        score: gives the logits ``[Q, n_way]`` of an episode.
        episodes: the tasks, at least one.

    Raises:
        NonFiniteError: a logit is NaN or infinite.
    """
    return mean_accuracy((score(episode), episode.targets) for episode in episodes)


@torch.no_grad()
def evaluate(method: FewShotMethod, graph: PreparedGraph, episodes: Sequence[Episode]) -> float:
    """Mean accuracy of a method in evaluation mode, in percent; its mode is put back afterwards."""
    with evaluating(method):
        return mean_accuracy(_scored(method, map(graph.inputs, episodes)))


@torch.no_grad()
def evaluate_inputs(method: FewShotMethod, tasks: Sequence[EpisodeInputs], ranks: Ranks = ALONE) -> float:
    """:func:`evaluate` on episodes whose inputs are at hand, so that their blocks need not be cut again.

    Args:
        method: with the same weights in every process.
        tasks: inputs of the episodes, in every process.
        ranks: the processes, which share them; all get the mean over all.
    """
    with evaluating(method):
        found = ranks.all_do(lambda: task_accuracies(_scored(method, ranks.share(tasks))))
    return float(torch.cat(ranks.gather(found)).mean())


def _scored(method: FewShotMethod, tasks: Iterable[EpisodeInputs]) -> Iterator[tuple[Tensor, Tensor]]:
    return ((method.logits(task), task.targets) for task in tasks)


def mean_accuracy(scored: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean over tasks of the share of queries whose highest logit is the target's, in percent."""
    return float(task_accuracies(scored).mean())


def task_accuracies(scored: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Accuracy of each task in percent, float64 on the CPU: ``[tasks]``.

    Args:
        scored: logits ``[Q, n_way]`` and targets ``[Q]`` of each task.

    Raises:
        NonFiniteError: a logit is NaN or infinite.
    """
    shares = []
    for number, (logits, targets) in enumerate(scored):
        if not torch.isfinite(logits).all():
            raise NonFiniteError(f"expected finite logits, found NaN or infinity in episode {number}; lower --lr")
        shares.append((logits.argmax(1).cpu() == targets.cpu()).double().mean())
    return 100.0 * torch.stack(shares) if shares else torch.zeros(0, dtype=torch.float64)
