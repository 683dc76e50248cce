"""The table of the manifold contract: which manifolds, and where on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gsam.manifolds import Hyperbolic, Lorentz, PoincareBall
from tests.contracts.manifold_oracles import ORACLES, Oracle

DIM = 4
DTYPES = (torch.float32, torch.float64)
RADII = (0.0, 0.5, 2.0, 5.0, 10.0, 20.0)
DISTANCES = (1e-3, 0.1, 1.0, 5.0, 20.0)


@dataclass(frozen=True)
class Case:
    """One manifold: its class, its curvature, whether that is learned."""

    kind: type[Hyperbolic]
    c: float
    learnable: bool = False

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.c}" + ("-learnable" if self.learnable else "")

    def build(self, dtype: torch.dtype = torch.float64) -> Hyperbolic:
        return self.kind(self.c, self.learnable).to(dtype)

    def oracle(self, manifold: Hyperbolic) -> Oracle:
        """Of the curvature that the manifold has: a learned one is the exponential of a rounded number."""
        return ORACLES[self.kind.__name__](float(torch.as_tensor(manifold.c).detach()))

    def points(
        self, manifold: Hyperbolic, dtype: torch.dtype, *shape: int, radius: float = 1.0, seed: int = 0
    ) -> Tensor:
        """Points at the given distance from the origin, in random directions."""
        w = directions(*shape, seed=seed).to(dtype) * radius
        origin = plain(manifold.origin(*shape, self.width, dtype=dtype))
        return manifold.expmap(origin, manifold.from_coordinates(origin, w)).detach()

    def vectors(self, manifold: Hyperbolic, x: Tensor, *, length: float = 1.0, seed: int = 1) -> Tensor:
        """Tangent vectors of the given length, in random directions."""
        w = directions(*x.shape[:-1], seed=seed).to(x.dtype) * length
        return manifold.from_coordinates(x, w).detach()

    @property
    def width(self) -> int:
        return DIM + (self.kind is Lorentz)


CASES = [Case(kind, c) for kind in (Lorentz, PoincareBall) for c in (0.25, 1.0, 4.0)]
CASES += [Case(Lorentz, 0.7, True), Case(PoincareBall, 0.7, True)]


def plain(x: Tensor) -> Tensor:
    return x.detach().as_subclass(Tensor)


def directions(*shape: int, seed: int) -> Tensor:
    """Unit vectors in float64, the axes among them."""
    w = torch.randn(*shape, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return w / w.norm(dim=-1, keepdim=True)


class Place(NamedTuple):
    """Where a law is tried; ``way`` is the direction of the tangent vector seen from the origin."""

    radius: float
    distance: float
    way: str


PLACES = [Place(r, d, way) for r in RADII for d in DISTANCES for way in ("any", "inwards", "outwards")]


class Setting(NamedTuple):
    """A place on a manifold in one dtype: points, tangent vectors, and what rounding makes of them."""

    manifold: Hyperbolic
    x: Tensor
    u: Tensor
    rho: float
    delta: float
    bound: float
    unit: float


def settle(case: Case, dtype: torch.dtype, place: Place, rows: int = 40) -> Setting | None:
    """The setting at a place, ``None`` beyond the range, or where rounding leaves nothing of a tangent vector."""
    manifold = case.build(dtype)
    bound = manifold.rounding_error(place.radius, place.distance, dtype)
    if place.radius + place.distance > manifold.max_radius(dtype) or bound > 0.5:
        return None
    x = case.points(manifold, dtype, rows, radius=place.radius)
    sign = {"any": 0.0, "inwards": -1.0, "outwards": 1.0}[place.way]
    w = sign * directions(rows, seed=0) if sign else directions(rows, seed=1)
    u = manifold.from_coordinates(x, (w * place.distance).to(dtype)).detach()
    root = math.sqrt(case.c)
    return Setting(manifold, x, u, root * place.radius, root * place.distance, bound, torch.finfo(dtype).eps / 2)
