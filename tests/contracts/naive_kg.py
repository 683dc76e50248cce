"""Every knowledge-graph model once more, one triple at a time, from the formula as its paper prints it.

Points of the ball stay on the ball, distances come from Möbius sums, rotations are 2 x 2 matrices, and the
hyperboloid's stored time coordinate is used as it is: none of the rearrangements that the package scores with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Naive = Callable[[Any, int, int, int], Tensor]


def minkowski(x: Tensor, y: Tensor) -> Tensor:
    return -x[0] * y[0] + sum(a * b for a, b in zip(x[1:], y[1:], strict=True))


def mobius_add(x: Tensor, y: Tensor, c: Any) -> Tensor:
    xy, xx, yy = x @ y, x @ x, y @ y
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c**2 * xx * yy)


def ball_distance(x: Tensor, y: Tensor, c: Any) -> Tensor:
    return 2 / c**0.5 * torch.atanh(c**0.5 * mobius_add(-x, y, c).norm())


def ball_exp0(v: Tensor, c: Any) -> Tensor:
    return torch.tanh(c**0.5 * v.norm()) * v / (c**0.5 * v.norm())


def ball_log0(x: Tensor, c: Any) -> Tensor:
    return torch.atanh(c**0.5 * x.norm()) * x / (c**0.5 * x.norm())


def planes(parameters: Tensor, x: Tensor, *, reflection: bool) -> Tensor:
    """One 2 x 2 matrix for each pair of coordinates."""
    out = []
    for (a, b), pair in zip(parameters.view(-1, 2), x.view(-1, 2), strict=True):
        cos, sin = a / (a * a + b * b).sqrt(), b / (a * a + b * b).sqrt()
        rows = [[cos, sin], [sin, -cos]] if reflection else [[cos, -sin], [sin, cos]]
        out.append(torch.stack([torch.stack(row) for row in rows]) @ pair)
    return torch.cat(out)


def biases(model: Any, h: int, t: int) -> Tensor:
    return model.head_bias.weight[h, 0] + model.tail_bias.weight[t, 0]


def hybonet(model: Any, h: int, r: int, t: int) -> Tensor:
    """In the coordinates of curvature -c: the point itself, its matrix, time, space and Minkowski product."""
    c = model.manifold.c
    y = model.rel_transform[r] @ model.node_emb.weight[h]
    scale = model.max_scale if model.relation_scale is None else model.relation_scale[r, 0]
    time = (torch.sigmoid(c**0.5 * y[0]) * scale + 1 + 0.1) / c**0.5
    space = y[1:] + model.rel_bias.weight[r] / c**0.5
    space = space / space.norm() * (time**2 - 1 / c).sqrt()
    moved = torch.cat([time[None], space])
    torch.testing.assert_close(minkowski(moved, moved), torch.as_tensor(-1 / c, dtype=moved.dtype))
    return model.margin + 2 * c * minkowski(moved, model.node_emb.weight[t]) + biases(model, h, t)


def murp(model: Any, h: int, r: int, t: int) -> Tensor:
    c, entity = model.manifold.c, model.node_emb.weight
    moved = ball_exp0(model.rel_diag.weight[r] * ball_log0(entity[h], c), c)
    target = mobius_add(entity[t], model.rel_emb.weight[r], c)
    return -(ball_distance(moved, target, c) ** 2) + biases(model, h, t)


def mure(model: Any, h: int, r: int, t: int) -> Tensor:
    entity = model.node_emb.weight
    moved = model.rel_diag.weight[r] * entity[h]
    return -((moved - (entity[t] + model.rel_emb.weight[r])) ** 2).sum() + biases(model, h, t)


def relation_curvature(model: Any, r: int) -> Tensor:
    return torch.log1p(torch.exp(model.rel_curvature.weight[r, 0])) + 1e-6


def to_tail(model: Any, moved: Tensor, h: int, r: int, t: int) -> Tensor:
    c = relation_curvature(model, r)
    return -(ball_distance(moved, ball_exp0(model.node_emb.weight[t], c), c) ** 2) + biases(model, h, t)


def roth(model: Any, h: int, r: int, t: int) -> Tensor:
    c = relation_curvature(model, r)
    first, second = model.rel_emb.weight[r].chunk(2)
    moved = mobius_add(ball_exp0(model.node_emb.weight[h], c), ball_exp0(first, c), c)
    moved = planes(model.rel_diag.weight[r], moved, reflection=False)
    return to_tail(model, mobius_add(moved, ball_exp0(second, c), c), h, r, t)


def refh(model: Any, h: int, r: int, t: int) -> Tensor:
    c = relation_curvature(model, r)
    moved = planes(model.rel_diag.weight[r], ball_exp0(model.node_emb.weight[h], c), reflection=True)
    return to_tail(model, mobius_add(moved, ball_exp0(model.rel_emb.weight[r], c), c), h, r, t)


def atth(model: Any, h: int, r: int, t: int) -> Tensor:
    """As the paper has it: both maps on the ball, the attention between their logarithms at the origin."""
    c = relation_curvature(model, r)
    head = ball_exp0(model.node_emb.weight[h], c)
    rotation, reflection = model.rel_diag.weight[r].chunk(2)
    tangents = [ball_log0(planes(p, head, reflection=flag), c) for p, flag in [(reflection, True), (rotation, False)]]
    context = model.rel_context.weight[r]
    weights = torch.stack([context @ x / len(context) ** 0.5 for x in tangents]).softmax(0)
    mixed = ball_exp0(weights[0] * tangents[0] + weights[1] * tangents[1], c)
    return to_tail(model, mobius_add(mixed, ball_exp0(model.rel_emb.weight[r], c), c), h, r, t)


def transe(model: Any, h: int, r: int, t: int) -> Tensor:
    head, tail = (F.normalize(model.node_emb.weight[i], p=model.p_norm, dim=0) for i in (h, t))
    return -(((head + model.rel_emb.weight[r] - tail).abs() ** model.p_norm).sum() ** (1 / model.p_norm))


def distmult(model: Any, h: int, r: int, t: int) -> Tensor:
    return sum(
        a * b * c
        for a, b, c in zip(model.node_emb.weight[h], model.rel_emb.weight[r], model.node_emb.weight[t], strict=True)
    )


def complex_(model: Any, h: int, r: int, t: int) -> Tensor:
    node = torch.complex(model.node_emb.weight, model.node_emb_im.weight)
    relation = torch.complex(model.rel_emb.weight, model.rel_emb_im.weight)
    return (node[h] * relation[r] * node[t].conj()).sum().real


def rotate(model: Any, h: int, r: int, t: int) -> Tensor:
    node = torch.complex(model.node_emb.weight, model.node_emb_im.weight)
    difference = node[h] * torch.exp(1j * model.rel_emb.weight[r]) - node[t]
    return model.margin - (difference.real**2 + difference.imag**2).sum().sqrt()


NAIVE: Mapping[str, Naive] = {
    "hybonet": hybonet,
    "murp": murp,
    "mure": mure,
    "roth": roth,
    "refh": refh,
    "atth": atth,
    "transe": transe,
    "distmult": distmult,
    "complex": complex_,
    "rotate": rotate,
}


def naive_scores(name: str, model: Any, triples: Tensor) -> Tensor:
    """Scores [B] of triples [B, 3], one at a time."""
    return torch.stack([NAIVE[name](model, *triple) for triple in triples.tolist()])
