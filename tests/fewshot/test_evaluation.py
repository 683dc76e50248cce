from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gsam.fewshot import (
    GPN,
    Episode,
    EpisodeInputs,
    FewShotMethod,
    NonFiniteError,
    PreparedGraph,
    accuracy,
    evaluate,
)
from tests.fewshot.toy import FEATURES, toy_episode

EPISODE = Episode(torch.tensor([5, 6]), torch.tensor([[0], [1]]), torch.tensor([[2, 3], [4, 5]]))


def test_accuracy_by_hand() -> None:
    """Targets are 0 0 1 1: three of four right, then one of four; the mean is over episodes."""
    logits = iter(
        [
            torch.tensor([[2.0, 1.0], [0.0, 0.5], [-3.0, -2.0], [0.0, 9.0]]),
            torch.tensor([[0.0, 1.0], [0.0, 0.5], [3.0, -2.0], [0.0, 9.0]]),
        ]
    )
    assert accuracy(lambda _: next(logits), [EPISODE, EPISODE]) == pytest.approx(50.0)
    assert accuracy(lambda _: torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]), [EPISODE]) == 100.0
    assert accuracy(lambda _: torch.tensor([[0, 1.0], [0, 1], [1, 0], [1, 0]]), [EPISODE]) == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite(value: float) -> None:
    good, bad = torch.zeros(4, 2), torch.zeros(4, 2)
    bad[3, 1] = value
    logits = iter([good, bad])
    with pytest.raises(NonFiniteError, match="in episode 1; lower --lr"):
        accuracy(lambda _: next(logits), [EPISODE, EPISODE])


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_restores_the_mode_and_sees_no_dropout(graph: PreparedGraph, training: bool) -> None:
    torch.manual_seed(0)
    method = GPN(FEATURES, hidden=8, dropout=0.9).train(training)
    state = torch.get_rng_state()
    scores = {evaluate(method, graph, [toy_episode()]) for _ in range(3)}
    assert len(scores) == 1
    assert method.training is training
    assert torch.equal(torch.get_rng_state(), state)  # so how often one looks does not change the training
    reference = method.eval().logits(graph.inputs(toy_episode())).argmax(1)
    right = sum(int(a) == i // 4 for i, a in enumerate(reference))
    assert scores.pop() == pytest.approx(100 * right / 16)


def test_mode_is_restored_after_an_error(graph: PreparedGraph) -> None:
    method = GPN(FEATURES)
    nn.init.constant_(method.encoder.weight1, float("nan"))
    with pytest.raises(NonFiniteError):
        evaluate(method, graph, [toy_episode()])
    assert method.training


def test_evaluate_builds_no_graph(graph: PreparedGraph) -> None:
    class Probe(FewShotMethod):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(16, 4))

        def logits(self, inputs: EpisodeInputs, *, peer: bool = False) -> Tensor:
            self.needs_grad = (self.weight * 2).requires_grad
            return self.weight

    probe = Probe()
    assert evaluate(probe, graph, [toy_episode()]) == 25.0
    assert probe.needs_grad is False
