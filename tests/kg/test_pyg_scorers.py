from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.kge import ComplEx, DistMult, KGEModel, RotatE, TransE

from gsam.kg.pyg_scorers import CLOSED_FORMS

N, R, D, B = 17, 4, 6, 9

MODELS: dict[str, tuple[type[KGEModel], dict[str, Any]]] = {
    "complex": (ComplEx, {}),
    "distmult": (DistMult, {}),
    "rotate": (RotatE, {"margin": 2.5}),
    "transe-1": (TransE, {"p_norm": 1.0, "margin": 3.0}),
    "transe-2": (TransE, {"p_norm": 2.0}),
    "transe-3": (TransE, {"p_norm": 3.0}),
}


def build(name: str, **options: Any) -> KGEModel:
    torch.manual_seed(0)
    kind, own = MODELS[name]
    return kind(N, R, D, **own, **options).double()


def indices() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randint(size, (B,), generator=generator) for size in (N, R, N))  # type: ignore[return-value]


def forward_all(model: KGEModel, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
    """Scores of index tensors that broadcast, by the model itself."""
    head, relation, tail = torch.broadcast_tensors(head, relation, tail)
    return model(head.reshape(-1), relation.reshape(-1), tail.reshape(-1)).view(head.shape)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> KGEModel:
    return build(request.param)


def closed_form(model: KGEModel) -> Any:
    return CLOSED_FORMS[type(model).forward](model)


def test_pairwise_scores_are_those_of_forward(model: KGEModel) -> None:
    head, relation, _ = indices()
    scorer = closed_form(model)
    expected = forward_all(model, head[:, None], relation[:, None], torch.arange(N))
    found = scorer.pairwise(scorer.query(head, relation), scorer.candidates())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    some = torch.tensor([3, 16, 3, 0])
    found = scorer.pairwise(scorer.query(head, relation), scorer.candidates(some))
    torch.testing.assert_close(found, expected[:, some], rtol=1e-10, atol=1e-10)


def test_pairwise_scores_of_heads_are_those_of_forward(model: KGEModel) -> None:
    _, relation, tail = indices()
    scorer = closed_form(model)
    expected = forward_all(model, torch.arange(N), relation[:, None], tail[:, None])
    found = scorer.pairwise(scorer.head_query(tail, relation), scorer.candidates())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_pointwise_scores_are_those_of_forward(model: KGEModel) -> None:
    head, relation, tail = indices()
    scorer = closed_form(model)
    query = scorer.query(head, relation)
    found = scorer.pointwise(query, scorer.candidates(tail))
    torch.testing.assert_close(found, model(head, relation, tail), rtol=1e-10, atol=1e-10)
    several = torch.randint(N, (B, 5), generator=torch.Generator().manual_seed(2))
    found = scorer.pointwise(query, scorer.candidates(several))
    expected = forward_all(model, head[:, None], relation[:, None], several)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_forward(name: str) -> None:
    ours, theirs = build(name), build(name)
    head, relation, _ = indices()
    weight = torch.randn(B, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scorer = closed_form(ours)
    (scorer.pairwise(scorer.query(head, relation), scorer.candidates()) * weight).sum().backward()
    (forward_all(theirs, head[:, None], relation[:, None], torch.arange(N)) * weight).sum().backward()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith(("transe", "rotate"))])
def test_a_perfect_match_has_a_finite_gradient(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        model.rel_emb.weight.zero_()
    scorer, every = closed_form(model), torch.arange(N)
    scores = scorer.pairwise(scorer.query(every, torch.zeros_like(every)), scorer.candidates())
    scores.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    # the distance of an entity from itself is 0, up to the root of the rounding of its squared length
    torch.testing.assert_close(scores.diagonal(), torch.full_like(scores.diagonal(), scorer.margin), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_sparse_tables_get_row_sparse_gradients(name: str) -> None:
    model = build(name, sparse=True)
    head, relation, tail = indices()
    scorer = closed_form(model)
    scorer.pairwise(scorer.query(head, relation), scorer.candidates(tail)).sum().backward()
    assert model.node_emb.weight.grad.is_sparse
    rows = set(model.node_emb.weight.grad.coalesce().indices()[0].tolist())
    assert rows == set(head.tolist()) | set(tail.tolist())


def test_scores_follow_the_weights() -> None:
    model = build("transe-1")
    scorer = closed_form(model)
    head, relation, tail = indices()
    with torch.no_grad():
        model.node_emb.weight.mul_(-1)
    found = scorer.pointwise(scorer.query(head, relation), scorer.candidates(tail))
    torch.testing.assert_close(found, model(head, relation, tail), rtol=1e-10, atol=1e-10)
