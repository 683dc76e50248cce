"""Points on several manifolds beside plain weights, a smooth loss of them all, and slow ways to compute their steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import geoopt
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall

MANIFOLDS: dict[str, Callable[[], geoopt.Manifold]] = {
    "lorentz": lambda: Lorentz(c=0.7),
    "ball": lambda: PoincareBall(c=1.3),
    "geoopt-lorentz": lambda: geoopt.Lorentz(k=torch.tensor(2.0, dtype=torch.float64)),
    "geoopt-ball": lambda: geoopt.PoincareBall(c=torch.tensor(0.6, dtype=torch.float64)),
    "sphere": geoopt.Sphere,
    "scaled": lambda: geoopt.Scaled(geoopt.Sphere(), 2.0),
    "product": lambda: geoopt.ProductManifold((geoopt.Sphere(), 2), (geoopt.PoincareBall(), 2)),
}
HYPERBOLIC = ("lorentz", "ball", "geoopt-lorentz", "geoopt-ball")


def point_on(manifold: geoopt.Manifold, rows: int, dtype: torch.dtype = torch.float64) -> geoopt.ManifoldParameter:
    """Points of four coordinates, not far from the middle."""
    ambient = 0.2 * torch.randn(rows, 4, dtype=torch.float64)
    if isinstance(manifold, geoopt.Lorentz):  # its own projx is right at k = 1 only
        ambient[:, 0] = (manifold.k + ambient[:, 1:].square().sum(1)).sqrt()
    return geoopt.ManifoldParameter(manifold.projx(ambient).detach().to(dtype), manifold=manifold)


class Mixed:
    """One parameter on each of the named manifolds, then a plain matrix and a plain vector."""

    def __init__(self, *names: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        torch.manual_seed(seed)
        self.manifolds: list[Any] = [MANIFOLDS[name]() for name in names]
        self.params: list[Any] = [point_on(manifold, 3 + i, dtype) for i, manifold in enumerate(self.manifolds)]
        self.params += [nn.Parameter(torch.randn(3, 2, dtype=dtype)), nn.Parameter(torch.randn(4, dtype=dtype))]
        self.coefficients = [torch.randn_like(p.detach()) for p in self.params]

    def loss(self) -> Tensor:
        """Every parameter's gradient depends on all of them."""
        parts = [(c * p).sum(-1) for c, p in zip(self.coefficients, self.params, strict=True)]
        return sum(part.sum() for part in parts).sin() + sum(0.3 * part.square().sum() for part in parts)

    def closure(self, opt: torch.optim.Optimizer) -> Callable[[], Tensor]:
        def run() -> Tensor:
            opt.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return run

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.params]

    def distances(self, others: list[Tensor]) -> list[Tensor]:
        """Distance of each point from that of ``others``; of the plain parameters as a whole."""
        curved = zip(self.manifolds, self.params, others, strict=False)
        flat = zip(self.params[len(self.manifolds) :], others[len(self.manifolds) :], strict=True)
        return [distance(m, p.detach(), w) for m, p, w in curved] + [(p.detach() - w).norm() for p, w in flat]


def distance(manifold: geoopt.Manifold, x: Tensor, y: Tensor) -> Tensor:
    """``manifold.dist``, without the rounding of ``acos`` and ``arcosh`` at close points."""
    if isinstance(manifold, geoopt.Scaled):
        return manifold.scale.double() * distance(manifold.base, x, y)
    if isinstance(manifold, geoopt.ProductManifold):
        parts = [(m, slice(2 * i, 2 * i + 2)) for i, m in enumerate(manifold.manifolds)]
        return torch.stack([distance(m, x[:, part], y[:, part]) for m, part in parts]).norm(dim=0)
    chord = x - y
    if isinstance(manifold, geoopt.Sphere):
        return 2 * (chord.norm(dim=-1) / 2).asin()
    if isinstance(manifold, geoopt.Lorentz):
        square = chord[:, 1:].square().sum(1) - chord[:, 0].square()
        return 2 * manifold.k.sqrt() * (square / manifold.k / 4).sqrt().asinh()
    return manifold.dist(x, y)


# -- the Lorentz model point by point, in plain Python -----------------------------------------------------------------


def minkowski(x: list[float], y: list[float]) -> float:
    return -x[0] * y[0] + sum(a * b for a, b in zip(x[1:], y[1:], strict=True))


def naive_gradient(x: list[float], g: list[float], c: float) -> list[float]:
    h = [-g[0], *g[1:]]
    factor = c * minkowski(x, h)
    return [a + factor * b for a, b in zip(h, x, strict=True)]


def naive_exp(x: list[float], v: list[float], c: float) -> list[float]:
    length = math.sqrt(c * max(minkowski(v, v), 0.0))
    if length == 0:
        return x
    return [math.cosh(length) * a + math.sinh(length) / length * b for a, b in zip(x, v, strict=True)]


def naive_transport(y: list[float], x: list[float], q: list[float], c: float) -> list[float]:
    factor = c * minkowski(x, q) / (1 - c * minkowski(x, y))
    return [a + factor * (b + d) for a, b, d in zip(q, x, y, strict=True)]


def naive_step(
    points: Tensor,
    weight: Tensor,
    gradients: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    c: float,
    rho: float,
    lr: float,
    transport: bool,
    per: str,
) -> tuple[Tensor, Tensor]:
    """One step of Lorentz SAM around Riemannian SGD, on rows of points and a plain matrix."""
    x, (g, plain) = points.tolist(), gradients(points, weight)
    grads = [naive_gradient(a, b, c) for a, b in zip(x, g.tolist(), strict=True)]
    squares = [minkowski(v, v) for v in grads]
    rows = [sum(a * a for a in row) for row in plain.tolist()]
    if per == "all":
        squares = rows = [sum(squares) + sum(rows)] * max(len(squares), len(rows))
    if per == "parameter":
        squares, rows = [sum(squares)] * len(squares), [sum(rows)] * len(rows)

    def scaled(row: list[float], square: float) -> list[float]:
        return [rho * a / math.sqrt(square) if square > 0 else 0.0 for a in row]

    up = [naive_exp(a, scaled(v, s), c) for a, v, s in zip(x, grads, squares, strict=False)]
    shift = torch.tensor([scaled(row, s) for row, s in zip(plain.tolist(), rows, strict=False)], dtype=weight.dtype)
    g, plain = gradients(torch.tensor(up, dtype=points.dtype), weight + shift)
    if transport:
        there = [naive_gradient(a, b, c) for a, b in zip(up, g.tolist(), strict=True)]
        down = [naive_transport(a, b, q, c) for a, b, q in zip(up, x, there, strict=True)]
    else:
        down = [naive_gradient(a, b, c) for a, b in zip(x, g.tolist(), strict=True)]
    moved = [naive_exp(a, [-lr * q for q in v], c) for a, v in zip(x, down, strict=True)]
    return torch.tensor(moved, dtype=points.dtype), weight - lr * plain
