from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gsam.kg.models import MuRE, MuRP
from gsam.manifolds import poincare_math

N, R, D = 40, 3, 5


def triples() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randint(size, (60,), generator=generator) for size in (N, R, N))


def murp(scale: float, **options: float) -> MuRP:
    torch.manual_seed(0)
    made = MuRP(N, R, D, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=scale)
        made.rel_diag.weight.uniform_(-1.5, 1.5)
    made.constrain()
    return made


@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
def test_closed_form_is_the_distance_to_every_translated_tail(c: float) -> None:
    made = murp(0.3 / c**0.5, curvature=c)
    head, relation, _ = triples()
    x = poincare_math.expmap0(made.rel_diag.weight[relation] * poincare_math.logmap0(made.node_emb.weight[head], c), c)
    moved = poincare_math.mobius_add(made.node_emb.weight[None], made.rel_emb.weight[relation][:, None], c)
    expected = -poincare_math.squared_distance(x[:, None], moved, c)
    expected = expected + made.head_bias.weight[head] + made.tail_bias.weight.T
    torch.testing.assert_close(made.pairwise(made.query(head, relation), made.candidates()), expected)


def test_flat_space_is_mure() -> None:
    """As c goes to 0 the ball's distance is twice Euclid's, so MuRP scores 4 times MuRE's squares."""
    flat, ball = MuRE(N, R, D).double(), murp(0.3, curvature=1e-9)
    flat.load_state_dict(ball.state_dict())
    bias = flat.head_bias.weight[triples()[0], 0] + flat.tail_bias.weight[triples()[2], 0]
    torch.testing.assert_close(ball(*triples()) - bias, 4 * (flat(*triples()) - bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("limit", [0.7, 0.95, 0.99])
def test_float32_is_as_accurate_as_the_docstring_says(limit: float) -> None:
    """All points at the limit, heads among the candidates: the worst there is."""
    made = murp(5.0, max_norm=limit).float()
    with torch.no_grad():
        made.rel_diag.weight.fill_(1.0)
        made.rel_emb.weight.mul_(0.1)
    double = MuRP(N, R, D, max_norm=limit).double()
    double.load_state_dict(made.state_dict())
    head, relation, _ = triples()
    single = made.pairwise(made.query(head, relation), made.candidates()).double()
    exact = double.pairwise(double.query(head, relation), double.candidates())
    assert (single - exact).abs().max() < 1e-6 / (1 - limit**2) ** 2 + 1e-5 * exact.abs().max()


def test_heads_that_leave_the_limit_come_back_to_it() -> None:
    made = murp(5.0, max_norm=0.9)
    with torch.no_grad():
        made.rel_diag.weight.fill_(3.0)
    x = made.query(*triples()[:2])[1]
    torch.testing.assert_close(x.norm(dim=1), torch.full((60,), 0.9, dtype=torch.float64))


@pytest.mark.parametrize("kind", [MuRE, MuRP])
def test_start_and_penalty(kind: type) -> None:
    torch.manual_seed(0)
    made = kind(500, 20, 8)
    assert made.node_emb.weight.std().item() == pytest.approx(1e-3, rel=0.1)
    assert made.rel_emb.weight.std().item() == pytest.approx(1e-3, rel=0.2)
    assert -1 <= made.rel_diag.weight.min() < -0.8
    assert 0.8 < made.rel_diag.weight.max() <= 1
    index = torch.tensor([3, 0])
    found = made.regularization(index, index, index)
    expected = (made.node_emb(index), made.rel_emb(index), made.node_emb(index)) if kind is MuRE else ()
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))


def test_translations_are_kept_inside_too() -> None:
    made = murp(0.2, max_norm=0.8, curvature=4.0)
    with torch.no_grad():
        made.rel_emb.weight.mul_(100)
    made.constrain(torch.tensor([0]))
    torch.testing.assert_close(made.rel_emb.weight.norm(dim=1), torch.full((R,), 0.4, dtype=torch.float64))
