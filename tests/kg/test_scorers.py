from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.kge import ComplEx, DistMult, RotatE, TransE

from gsam.kg import scorers
from gsam.kg.models import HyboNet
from gsam.kg.pyg_scorers import ComplExScorer, DistMultScorer, RotatEScorer, TransEScorer
from gsam.kg.scorers import ForwardScorer, HeadScorer, Scorer, scorer
from tests.kg.naive_ranking import GivenScores


class OtherDistMult(DistMult):
    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return -super().forward(head_index, rel_type, tail_index)


class SameDistMult(DistMult):
    """Differs in what is no part of the score."""

    def loss(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return -self(head_index, rel_type, tail_index).mean()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (ComplEx(3, 2, 4), ComplExScorer),
        (DistMult(3, 2, 4), DistMultScorer),
        (RotatE(3, 2, 4), RotatEScorer),
        (TransE(3, 2, 4), TransEScorer),
        (SameDistMult(3, 2, 4), DistMultScorer),
        (OtherDistMult(3, 2, 4), ForwardScorer),
    ],
)
def test_closed_forms_are_taken_for_the_forward_they_equal_only(model: torch.nn.Module, kind: type) -> None:
    found = scorer(model)
    assert type(found) is kind
    assert isinstance(found, Scorer)
    assert isinstance(found, HeadScorer) == (kind is not ForwardScorer)


def test_a_model_with_the_interface_is_its_own_scorer() -> None:
    model = HyboNet(5, 4, 3)
    assert scorer(model) is model


@pytest.mark.parametrize("pairs", [1, 7, 2**15])
def test_forward_scores_every_pair(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    monkeypatch.setattr(scorers, "_PAIRS", pairs)
    table = torch.randn(3, 6, 6, dtype=torch.float64)
    found = scorer(GivenScores(table))
    head, relation = torch.tensor([5, 0, 5, 2]), torch.tensor([2, 1, 0, 1])
    query = found.query(head, relation)
    assert found.pairwise(query, found.candidates()).equal(table[relation, head])
    tail = torch.tensor([1, 1, 4])
    assert found.pairwise(query, found.candidates(tail)).equal(table[relation, head][:, tail])


def test_forward_scores_candidates_of_each_query() -> None:
    table = torch.randn(3, 6, 6, dtype=torch.float64)
    found = scorer(GivenScores(table))
    head, relation = torch.tensor([5, 0, 5]), torch.tensor([2, 1, 0])
    query = found.query(head, relation)
    tail = torch.tensor([0, 3, 3])
    assert found.pointwise(query, found.candidates(tail)).equal(table[relation, head, tail])
    several = torch.tensor([[0, 3], [5, 5], [1, 2]])
    expected = table[relation[:, None], head[:, None], several]
    assert found.pointwise(query, found.candidates(several)).equal(expected)
    # as many candidates as queries, and one candidate: shapes that could be mixed up
    assert found.pointwise(query, found.candidates(several[:, :1])).equal(expected[:, :1])


def test_forward_is_differentiable() -> None:
    model = GivenScores(torch.zeros(2, 4, 4, dtype=torch.float64))
    found = scorer(model)
    query = found.query(torch.tensor([1]), torch.tensor([0]))
    (found.pairwise(query, found.candidates()) * torch.arange(4.0)).sum().backward()
    expected = torch.zeros(2, 4, 4, dtype=torch.float64)
    expected[0, 1] = torch.arange(4.0)
    assert model.table.grad is not None
    assert model.table.grad.equal(expected)
