"""Slow second implementations of the Riemannian optimizers: float64, one point after the other, maths from scratch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import geoopt
import torch
from torch import Tensor

from gsam.manifolds import PoincareBall

DOUBLE = torch.float64
BALLS = (geoopt.PoincareBall, PoincareBall)
Step = dict[int, Tensor]  # the ambient gradients of the touched points of one step


class Hyperboloid:
    """Points with <x, x> = -1/c, one vector at a time, time first."""

    def __init__(self, c: float) -> None:
        self.c = c

    @staticmethod
    def form(u: Tensor, v: Tensor) -> float:
        return float(u[1:] @ v[1:] - u[0] * v[0])

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        h = torch.cat([-g[:1], g[1:]])
        return h + self.c * self.form(x, h) * x

    def square(self, u: Tensor) -> Tensor:
        return torch.tensor(self.form(u, u), dtype=DOUBLE)

    def move(self, x: Tensor, u: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """Along the geodesic; the part of ``tangent`` along it turns with it, the rest stays as it is."""
        length = math.sqrt(max(self.form(u, u), 0.0))
        if length == 0:
            return x, tangent
        root, unit = math.sqrt(self.c), u / length
        there = math.cosh(root * length) * x + math.sinh(root * length) / root * unit
        turned = math.cosh(root * length) * unit + root * math.sinh(root * length) * x
        along = self.form(unit, tangent)
        return there, tangent + along * (turned - unit)


class Flat:
    """Plain numbers: each coordinate has a second moment of its own."""

    @staticmethod
    def gradient(x: Tensor, g: Tensor) -> Tensor:
        return g

    @staticmethod
    def square(u: Tensor) -> Tensor:
        return u * u

    @staticmethod
    def move(x: Tensor, u: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        return x + u, tangent


def naive_adam(
    space: Any, start: Tensor, steps: Sequence[Step], *, lr: float, amsgrad: bool = False, weight_decay: float = 0.0
) -> Tensor:
    """Adam with betas (.9, .99) and eps 1e-8; a point without gradient stays, and so do its moments."""
    points = [x.clone() for x in start]
    m = [torch.zeros_like(x) for x in points]
    v = [torch.zeros((), dtype=DOUBLE) for _ in points]
    top = list(v)
    for t, touched in enumerate(steps, start=1):
        for i, ambient in touched.items():
            g = space.gradient(points[i], ambient + weight_decay * points[i])
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.99 * v[i] + 0.01 * space.square(g)
            top[i] = torch.maximum(top[i], v[i]) if amsgrad else v[i]
            u = -lr * m[i] / (1 - 0.9**t) / (torch.sqrt(top[i] / (1 - 0.99**t)) + 1e-8)
            points[i], m[i] = space.move(points[i], u, m[i])
    return torch.stack(points)


def naive_sgd(
    space: Any, start: Tensor, steps: Sequence[Step], *, lr: float, momentum: float, dampening: float, nesterov: bool
) -> Tensor:
    """Momentum as torch has it; a row not touched in the first step starts from a zero buffer."""
    points, buffers = [x.clone() for x in start], [torch.zeros_like(x) for x in start]
    for t, touched in enumerate(steps):
        for i, ambient in touched.items():
            g = space.gradient(points[i], ambient)
            buffers[i] = g if t == 0 else momentum * buffers[i] + (1 - dampening) * g
            u = -lr * (g + momentum * buffers[i] if nesterov else buffers[i])
            points[i], buffers[i] = space.move(points[i], u, buffers[i])
    return torch.stack(points)


def hyperboloid_points(n: int, d: int, c: float, seed: int = 0) -> Tensor:
    """Random points, shape (n, d + 1), float64."""
    space = torch.randn(n, d, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return torch.cat([(1 / c + space.square().sum(1, keepdim=True)).sqrt(), space], 1)


def touched_rows(n: int, width: int, steps: int, share: float, seed: int = 1) -> list[Step]:
    """Random gradients of random rows."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(steps, n, generator=generator) < share
    grads = torch.randn(steps, n, width, dtype=DOUBLE, generator=generator)
    return [{int(i): grads[t, i] for i in chosen[t].nonzero().flatten()} for t in range(steps)]


def row_sparse(touched: Step, like: Tensor) -> Tensor:
    """The gradient as an embedding gives it: rows in any order, and each of them in two parts."""
    rows = [i for i in reversed(list(touched)) for _ in range(2)]
    parts = [part for i in reversed(list(touched)) for part in (0.25 * touched[i], 0.75 * touched[i])]
    entries = torch.stack(parts).to(like) if parts else like.new_zeros(0, *like.shape[1:])
    return torch.sparse_coo_tensor(torch.tensor([rows], dtype=torch.int64), entries, like.shape, check_invariants=False)


def dense(touched: Step, like: Tensor) -> Tensor:
    found = torch.zeros_like(like)
    for i, grad in touched.items():
        found[i] = grad
    return found


def run(opt: torch.optim.Optimizer, param: Tensor, grads: Sequence[Tensor]) -> Tensor:
    """Take a step with each gradient, and return where the parameter ends."""
    for grad in grads:
        param.grad = grad.clone()
        opt.step()
    return param.detach().clone()


def on_geodesic(manifold: Any, s: float, direction: Tensor) -> Tensor:
    """The point at arc length ``s`` from the origin, closed forms for curvature -1."""
    if isinstance(manifold, BALLS):
        return math.tanh(s / 2) * direction
    return torch.cat([torch.tensor([math.cosh(s)], dtype=DOUBLE), math.sinh(s) * direction])


def arc_length(manifold: Any, x: Tensor, direction: Tensor) -> float:
    """The inverse: signed distance from the origin of a point of that geodesic."""
    if isinstance(manifold, BALLS):
        return 2 * math.atanh(float(x @ direction))
    return math.asinh(float(x[1:] @ direction))


def scalar_twin(make: Callable[[Any], Any], twin: Callable[[Any], Any], manifold: Any, steps: int) -> tuple[Any, Any]:
    """Minimise d(x, y)^2 along one geodesic, and (s - t)^2 over its arc length: the same recursion."""
    direction = torch.tensor([0.6, -0.8], dtype=DOUBLE)
    x = geoopt.ManifoldParameter(on_geodesic(manifold, 2.5, direction)[None], manifold=manifold)
    s, found, expected = torch.nn.Parameter(torch.tensor(2.5, dtype=DOUBLE)), [], []
    target, mine, other = on_geodesic(manifold, -0.7, direction), make([x]), twin([s])
    for _ in range(steps):
        for opt, loss in ((mine, manifold.dist2(x, target).sum()), (other, (s + 0.7).square())):
            opt.zero_grad()
            loss.backward()
            opt.step()
        found.append(arc_length(manifold, x[0].detach(), direction))
        expected.append(s.item())
    return found, expected
