from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gsam.kg.models import HyboNet
from gsam.kg.triples import with_reciprocals

N, R, D = 30, 4, 6


def triples() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randint(size, (40,), generator=generator) for size in (N, R, N))


def model(**options: float) -> HyboNet:
    torch.manual_seed(0)
    made = HyboNet(N, R, D, **options).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.4)
    made.constrain()
    return made


def minkowski(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, 1:] * y[:, 1:]).sum(1) - x[:, 0] * y[:, 0]


@pytest.mark.parametrize("c", [0.04, 0.5, 3.0, 40.0])
def test_every_curvature_is_curvature_one_in_other_units(c: float) -> None:
    """Points x / sqrt(c) at curvature c score as x does at 1, weights and biases unchanged."""
    one, other = model(max_norm=1.5), model(max_norm=1.5, curvature=c)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        other.node_emb.weight.div_(c**0.5)
    before = other.node_emb.weight.detach().clone()
    other.constrain()
    torch.testing.assert_close(other.node_emb.weight.detach(), before, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other(*triples()), one(*triples()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", [0.04, 1.0, 40.0])
def test_queries_lie_on_the_hyperboloid_between_the_bounds(c: float) -> None:
    made = model(curvature=c, max_scale=2.0)
    head, relation, _ = triples()
    with torch.no_grad():
        made.rel_transform.mul_(torch.tensor([1e-6, 1.0, 100.0, -100.0], dtype=torch.float64)[:, None, None])
        (features,) = made.query(head, relation)
        unit = torch.cat([-features[:, :1], features[:, 1 : D + 1]], 1) / 2  # sqrt(c) times the point
    torch.testing.assert_close(minkowski(unit, unit), torch.full((40,), -1.0, dtype=torch.float64))
    assert unit[:, 0].min() >= 1.1 - 1e-12
    assert unit[:, 0].max() <= 3.1 + 1e-12
    assert unit[:, 0].max() - unit[:, 0].min() > 1.5  # the matrices reach both ends


def test_score_is_margin_less_the_squared_chord() -> None:
    made = model(curvature=0.7, margin=5.0)
    head, relation, tail = triples()
    (features,) = made.query(head, relation)
    moved = torch.cat([-features[:, :1], features[:, 1 : D + 1]], 1) / 2 / 0.7**0.5
    chord = moved - made.node_emb.weight[tail]
    bias = made.head_bias.weight[head, 0] + made.tail_bias.weight[tail, 0]
    torch.testing.assert_close(made(head, relation, tail), 5.0 - 2 - 0.7 * minkowski(chord, chord) + bias)


def test_a_wrong_time_coordinate_changes_no_score() -> None:
    """An average of weights, or a Euclidean optimizer, leaves the hyperboloid; the scored points do not."""
    made = model()
    before = made(*triples())
    with torch.no_grad():
        made.node_emb.weight[:, 0] += 3
    assert torch.equal(made(*triples()), before)
    before.sum().backward()
    assert not made.node_emb.weight.grad[:, 0].any()
    assert made.node_emb.weight.grad[:, 1:].any()


def test_dropout_zeroes_space_coordinates_of_heads_in_training_only() -> None:
    made = model(dropout=0.4)
    head, relation, tail = triples()
    quiet = made(head, relation, tail)
    assert torch.equal(quiet, model()(head, relation, tail))
    made.train()
    torch.manual_seed(7)
    found = made(head, relation, tail)
    torch.manual_seed(7)
    kept = torch.nn.functional.dropout(torch.ones(40, D, dtype=torch.float64), 0.4)
    assert 0.2 < (kept == 0).double().mean() < 0.6
    twin = model()
    twin.num_nodes = 40 + N
    with torch.no_grad():  # heads with the same coordinates dropped, as entities of their own
        space = twin.node_emb.weight[head, 1:] * kept
        heads = torch.cat([(1 + space.square().sum(1, keepdim=True)).sqrt(), space], 1)
        twin.node_emb.weight = torch.nn.Parameter(torch.cat([twin.node_emb.weight, heads]))
        twin.head_bias.weight = torch.nn.Parameter(torch.cat([twin.head_bias.weight, twin.head_bias.weight[head]]))
    torch.testing.assert_close(found, twin(torch.arange(N, N + 40), relation, tail))
    assert not torch.equal(made(head, relation, tail), found)


@pytest.mark.parametrize("c", [0.3, 4.0])
def test_start(c: float) -> None:
    torch.manual_seed(0)
    made = HyboNet(2000, 3, 32, curvature=c, max_norm=1.1)
    space = c**0.5 * made.node_emb.weight.detach()[:, 1:]
    assert space.norm(dim=1).max() <= 1.1 * (1 + 1e-6)
    assert (space.norm(dim=1) > 1.1 * (1 - 1e-6)).float().mean() < 0.3  # a draw about 1, the long ones clipped
    assert space.mean().abs() < 0.01
    assert made.rel_transform.abs().max() <= (6 / 33) ** 0.5
    assert made.rel_transform.std().item() == pytest.approx((2 / 33) ** 0.5, rel=0.05)
    assert not made.rel_bias.weight.any()
    free = HyboNet(50, 1, 4, max_norm=None)
    with torch.no_grad():
        free.node_emb.weight.mul_(100)
    free.constrain()
    assert free.node_emb.weight[:, 1:].norm(dim=1).max() > 50


def test_a_relation_that_maps_to_nothing() -> None:
    """All matrices 0: no direction to go to, and still finite numbers."""
    made = model()
    with torch.no_grad():
        made.rel_transform.zero_()
        made.rel_bias.weight.zero_()
    scores = made(*triples())
    scores.sum().backward()
    assert scores.isfinite().all()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_identity_start() -> None:
    """Matrices near the identity send a head towards itself."""
    torch.manual_seed(0)
    made = HyboNet(200, 3, 32, init="identity").eval()
    off = made.rel_transform.detach() - torch.eye(33)
    assert off.std().item() == pytest.approx(0.1 / 33**0.5, rel=0.05)
    heads = torch.arange(200)
    scores = made.pairwise(made.query(heads, heads % 3), made.candidates())
    assert torch.equal(scores.argmax(1), heads)
    with pytest.raises(ValueError, match="expected init kaiming or identity"):
        HyboNet(2, 1, 2, init="zeros")


def test_symmetric_relations_have_a_scale_of_their_own_that_is_saved() -> None:
    """Queries reach as far as the scale of their relation says; a loaded model knows it without the triples."""
    made = model(max_scale=2.0, symmetric_scale=7.0)
    made.prepare(torch.tensor([(0, 1, 2), (2, 1, 0), (0, 2, 1)]))
    expected = [7.0 if relation == 1 else 2.0 for relation in range(R)]
    assert made.relation_scale.squeeze(1).tolist() == expected
    with torch.no_grad():
        made.rel_transform.zero_()
        made.rel_transform[:, 0, 0] = 1e3  # the sigmoid is 1
        made.rel_bias.weight.fill_(1.0)
    relations = torch.arange(R)
    time = made.query(torch.zeros_like(relations), relations)[0][:, 0] / -2
    assert time.tolist() == pytest.approx([scale + 1.1 for scale in expected])
    other = model(max_scale=2.0, symmetric_scale=7.0)
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.relation_scale, made.relation_scale)


def test_functional_relations_have_a_scale_of_their_own() -> None:
    """Relation 0 has one tail for each head, 1 is symmetric and functional, 2 has two tails, 3 no triple."""
    triples = torch.tensor([(0, 0, 2), (1, 0, 2), (0, 1, 2), (2, 1, 0), (0, 2, 1), (0, 2, 2)])
    for symmetric, expected in ((7.0, [3.5, 7.0, 2.0, 2.0]), (None, [3.5, 3.5, 2.0, 2.0])):
        made = model(max_scale=2.0, symmetric_scale=symmetric, functional_scale=3.5)
        made.prepare(triples)
        assert made.relation_scale.squeeze(1).tolist()[:4] == expected


def test_turned_relations_are_told_by_preparation_and_saved() -> None:
    triples = with_reciprocals(torch.tensor([(0, 0, 2), (0, 0, 1), (0, 0, 3), (1, 1, 2)]), R // 2)
    made, other = (model(score_by="functional") for _ in range(2))
    assert not made.turned.any()
    made.prepare(triples)
    assert made.turned.nonzero().flatten().tolist() == [0]
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.turned, made.turned)
    assert model().turned is None
    with pytest.raises(ValueError, match="score_by"):
        model(score_by="reciprocal")


def test_preparation_by_other_triples_starts_anew() -> None:
    made = model(max_scale=2.0, functional_scale=3.5)
    made.prepare(torch.tensor([(0, 0, 2), (1, 0, 2)]))
    made.prepare(torch.tensor([(0, 1, 2), (1, 1, 2)]))
    assert made.relation_scale.squeeze(1).tolist() == [2.0, 3.5, 2.0, 2.0]
