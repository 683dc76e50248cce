from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from gsam.kg._givens import reflect, rotate
from gsam.kg.models import AttH, HyperbolicIsometry, RefH, RotH

N, R, D = 40, 3, 4
KINDS = [RotH, RefH, AttH]


def triples() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randint(size, (60,), generator=generator) for size in (N, R, N))


def build(kind: type[HyperbolicIsometry], scale: float = 0.5, **options: float) -> Any:
    torch.manual_seed(0)
    made = kind(N, R, D, **options).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name != "rel_curvature.weight":
                parameter.normal_(std=scale)
    return made


def moved_flat(model: Any, head: Tensor, relation: Tensor) -> Tensor:
    """Where heads go in flat space."""
    planes, shift = model.rel_diag(relation), model.rel_emb(relation)
    if isinstance(model, RotH):
        return rotate(planes, head + shift[:, :D]) + shift[:, D:]
    if isinstance(model, RefH):
        return reflect(planes, head) + shift
    rotated, reflected = rotate(planes[:, :D], head), reflect(planes[:, D:], head)
    context = model.rel_context(relation) / D**0.5
    share = torch.sigmoid((context * (reflected - rotated)).sum(1, keepdim=True))
    return share * reflected + (1 - share) * rotated + shift


@pytest.mark.parametrize("kind", KINDS)
def test_small_curvature_is_flat_space(kind: type[HyperbolicIsometry]) -> None:
    """As c goes to 0 the score is -4 times the squared Euclidean distance."""
    model = build(kind, curvature=2e-6)
    head, relation, tail = triples()
    flat = moved_flat(model, model.node_emb(head), relation) - model.node_emb(tail)
    bias = model.head_bias.weight[head, 0] + model.tail_bias.weight[tail, 0]
    torch.testing.assert_close(model(head, relation, tail), bias - 4 * flat.square().sum(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("c", [1e-3, 1.0, 50.0, 5000.0])
def test_curvature_starts_where_it_is_asked_to_and_is_learned(kind: type[HyperbolicIsometry], c: float) -> None:
    model = build(kind, scale=0.1, curvature=c)
    found = model.curvatures(torch.arange(R))
    torch.testing.assert_close(found, torch.full((R, 1), c, dtype=torch.float64), rtol=1e-6, atol=0.0)
    head, relation, tail = triples()
    model(head[relation == 1], relation[relation == 1], tail[relation == 1]).sum().backward()
    assert model.rel_curvature.weight.grad[1] != 0
    assert not model.rel_curvature.weight.grad[[0, 2]].any()  # each relation has its own


@pytest.mark.parametrize("kind", KINDS)
def test_curvature_cannot_reach_zero(kind: type[HyperbolicIsometry]) -> None:
    model = build(kind).float()
    with torch.no_grad():
        model.rel_curvature.weight.fill_(-200.0)
    assert (model.curvatures(torch.arange(R)) > 0).all()
    scores = model(*triples())
    scores.sum().backward()
    assert scores.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_without_translation_the_distance_from_the_origin_stays(kind: type[HyperbolicIsometry]) -> None:
    """RotH and RefH are isometries; AttH's mean of two of them can only come nearer."""
    model = build(kind)
    with torch.no_grad():
        model.rel_emb.weight.zero_()
    head, relation, _ = triples()
    reach = model.query(head, relation)[1]
    before = 2 * model.node_emb(head).norm(dim=1, keepdim=True)
    if kind is AttH:
        assert (reach <= before + 1e-12).all()
        assert (reach < 0.99 * before).any()
    else:
        torch.testing.assert_close(reach, before)


def test_attention_without_context_is_the_mean() -> None:
    model = build(AttH)
    with torch.no_grad():
        model.rel_context.weight.zero_()
        model.rel_emb.weight.zero_()
    head, relation, _ = triples()
    tangent, planes = model.node_emb(head), model.rel_diag(relation)
    mean = (rotate(planes[:, :D], tangent) + reflect(planes[:, D:], tangent)) / 2
    expected = mean / mean.norm(dim=1, keepdim=True) * (2 * mean.norm(dim=1, keepdim=True)).sinh()
    torch.testing.assert_close(-model.query(head, relation)[0][:, 1:], expected)


@pytest.mark.parametrize("radius", [0.5, 2.0, 4.0, 6.0])
def test_float32_is_as_accurate_as_the_docstring_says(radius: float) -> None:
    """Points at one distance from the origin, each among its own candidates, against 50 digits."""
    torch.manual_seed(3)
    model = RefH(N, 1, D)
    with torch.no_grad():
        direction = torch.randn(N // 2, D)
        model.node_emb.weight.copy_(torch.cat([direction, direction + 1e-3 * torch.randn(N // 2, D)]))
        model.node_emb.weight.mul_(radius / 2 / model.node_emb.weight.norm(dim=1, keepdim=True))
        model.rel_emb.weight.zero_()
        model.rel_diag.weight.copy_(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
        single = model.pairwise(model.query(torch.arange(N), torch.zeros(N, dtype=torch.long)), model.candidates())
        c = mpmath.mpf(model.curvatures(torch.zeros(1, dtype=torch.long)).double().item())
    worst = 0.0
    with mpmath.workdps(50):
        points = [[mpmath.mpf(v) for v in row] for row in model.node_emb.weight.tolist()]
        for i in range(0, N, 5):
            for j in range(N):
                worst = max(worst, abs(single[i, j].item() + float(_squared(points[i], points[j], c))))
    assert worst < 3e-7 * math.sinh(radius) ** 2 + 3e-6 * (2 * radius) ** 2


def _squared(head: list[Any], tail: list[Any], c: Any) -> Any:
    """Squared distance of exp_0 of two tangent vectors, the first mirrored: (p, q) to (p, -q)."""
    head = [v if i % 2 == 0 else -v for i, v in enumerate(head)]
    x, y = (_on_hyperboloid(v, c) for v in (head, tail))
    cosh = x[0] * y[0] - sum(a * b for a, b in zip(x[1:], y[1:], strict=True))
    return mpmath.acosh(max(mpmath.mpf(1), cosh)) ** 2 / c


def _on_hyperboloid(tangent: list[Any], c: Any) -> list[Any]:
    norm = mpmath.sqrt(sum(v * v for v in tangent))
    reach = 2 * mpmath.sqrt(c) * norm
    return [mpmath.cosh(reach), *(mpmath.sinh(reach) * v / norm for v in tangent)]


@pytest.mark.parametrize("kind", KINDS)
def test_tails_beyond_the_range_count_as_lying_at_its_edge(kind: type[HyperbolicIsometry]) -> None:
    model = build(kind, scale=0.3)
    head, relation, tail = triples()
    with torch.no_grad():
        entity = model.node_emb.weight
        entity[tail] *= 6.0 / entity[tail].norm(dim=1, keepdim=True)  # at distance 12
        keep = ~torch.isin(head, tail)
        assert keep.any()
        edge = model(head[keep], relation[keep], tail[keep])
        entity[tail.unique()] *= 7
    torch.testing.assert_close(model(head[keep], relation[keep], tail[keep]), edge)


@pytest.mark.parametrize("kind", KINDS)
def test_odd_dimensions_and_penalty(kind: type[HyperbolicIsometry]) -> None:
    with pytest.raises(ValueError, match=r"expected an even hidden_channels, .* found 5"):
        kind(N, R, 5)
    model = build(kind)
    head, relation, tail = triples()
    penalized = model.regularization(head, relation, tail)
    expected = model.node_emb(head), model.rel_emb(relation), model.node_emb(tail)
    assert all(map(torch.equal, penalized, expected))
