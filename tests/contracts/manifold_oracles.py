"""Textbook formulas of both models at 60 digits: slow, one row at a time, and independent of the package's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
from torch import Tensor

Vector = list[Any]
mpmath.mp.dps = 60


def exact(row: Tensor) -> Vector:
    """The numbers of one row as they stand."""
    return [mpmath.mpf(value) for value in row.double().tolist()]


def dot(u: Vector, v: Vector) -> Any:
    return mpmath.fsum(a * b for a, b in zip(u, v, strict=True))


def norm(u: Vector) -> Any:
    return mpmath.sqrt(dot(u, u))


def combine(*terms: tuple[Any, Vector]) -> Vector:
    return [mpmath.fsum(factor * vector[i] for factor, vector in terms) for i in range(len(terms[0][1]))]


class LorentzOracle:
    """Points are read from their space coordinates, tangent vectors too: rounding left them off by a little."""

    def __init__(self, c: float) -> None:
        self.c = mpmath.mpf(c)

    def point(self, row: Tensor) -> Vector:
        space = exact(row)[1:]
        return [mpmath.sqrt(1 / self.c + dot(space, space)), *space]

    def tangent(self, x: Vector, row: Tensor) -> Vector:
        space = exact(row)[1:]
        return [dot(x[1:], space) / x[0], *space]

    @staticmethod
    def inner(u: Vector, v: Vector) -> Any:
        return dot(u[1:], v[1:]) - u[0] * v[0]

    def product(self, x: Vector, u: Vector, v: Vector) -> Any:
        return self.inner(u, v)

    def distance(self, x: Vector, y: Vector) -> Any:
        return mpmath.acosh(max(-self.c * self.inner(x, y), mpmath.mpf(1))) / mpmath.sqrt(self.c)

    def expmap(self, x: Vector, u: Vector) -> Vector:
        t = mpmath.sqrt(self.c * self.inner(u, u))
        return combine((mpmath.cosh(t), x), (mpmath.sinh(t) / t, u))

    def logmap(self, x: Vector, y: Vector) -> Vector:
        a = -self.c * self.inner(x, y)
        return combine((mpmath.acosh(a) / mpmath.sqrt(a * a - 1), combine((1, y), (-a, x))))

    def transport(self, x: Vector, y: Vector, u: Vector) -> Vector:
        factor = self.c * self.inner(y, u) / (1 - self.c * self.inner(x, y))
        return combine((1, u), (factor, x), (factor, y))


class PoincareOracle:
    """Moebius addition as it is printed, and transport as nested additions: no formula of the package."""

    def __init__(self, c: float) -> None:
        self.c = mpmath.mpf(c)

    def point(self, row: Tensor) -> Vector:
        return exact(row)

    def tangent(self, x: Vector, row: Tensor) -> Vector:
        return exact(row)

    def product(self, x: Vector, u: Vector, v: Vector) -> Any:
        return self.factor(x) ** 2 * dot(u, v)

    def factor(self, x: Vector) -> Any:
        return 2 / (1 - self.c * dot(x, x))

    def add(self, x: Vector, y: Vector) -> Vector:
        xy, xx, yy = dot(x, y), dot(x, x), dot(y, y)
        below = 1 + 2 * self.c * xy + self.c**2 * xx * yy
        return combine(((1 + 2 * self.c * xy + self.c * yy) / below, x), ((1 - self.c * xx) / below, y))

    def distance(self, x: Vector, y: Vector) -> Any:
        root = mpmath.sqrt(self.c)
        return 2 / root * mpmath.atanh(root * norm(self.add(combine((-1, x)), y)))

    def expmap(self, x: Vector, u: Vector) -> Vector:
        root, length = mpmath.sqrt(self.c), norm(u)
        return self.add(x, combine((mpmath.tanh(root * self.factor(x) * length / 2) / (root * length), u)))

    def logmap(self, x: Vector, y: Vector) -> Vector:
        root, way = mpmath.sqrt(self.c), self.add(combine((-1, x)), y)
        return combine((2 / (root * self.factor(x)) * mpmath.atanh(root * norm(way)) / norm(way), way))

    def transport(self, x: Vector, y: Vector, u: Vector) -> Vector:
        back, small = combine((-1, x)), mpmath.mpf(10) ** -20 / (norm(u) * mpmath.sqrt(self.c))
        turned = self.add(combine((-1, self.add(y, back))), self.add(y, self.add(back, combine((small, u)))))
        return combine((self.factor(x) / self.factor(y) / small, turned))


Oracle = LorentzOracle | PoincareOracle
ORACLES: dict[str, Callable[[float], Oracle]] = {"Lorentz": LorentzOracle, "PoincareBall": PoincareOracle}
