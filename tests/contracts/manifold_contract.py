"""What every manifold of the package must do, over dtype, curvature, radius, distance and direction."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch import Tensor

from gsam.manifolds import Lorentz
from tests.contracts.manifold_cases import CASES, DTYPES, PLACES, Case, Place, Setting, settle

per_case = pytest.mark.parametrize("case", CASES, ids=str)
per_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def settings(case: Case, dtype: torch.dtype, rows: int = 40) -> list[tuple[Place, Setting]]:
    found = [(place, settle(case, dtype, place, rows)) for place in PLACES]
    kept = [(place, setting) for place, setting in found if setting is not None]
    assert len(kept) >= (20 if dtype == torch.float32 else 40), "the grid must not dissolve"
    return kept


def lengths(setting: Setting, x: Tensor, u: Tensor) -> Tensor:
    return setting.manifold.norm(x, u).detach().double()


class AccuracyContract:
    """Numbers against float64-free oracles: what went in, and mpmath."""

    @per_case
    @per_dtype
    def test_logarithm_undoes_the_exponential_map(self, case: Case, dtype: torch.dtype) -> None:
        for place, s in settings(case, dtype):
            y = s.manifold.expmap(s.x, s.u)
            back = s.manifold.logmap(s.x, y)
            error = lengths(s, s.x, back - s.u) / place.distance
            assert error.max() <= s.bound, (place, float(error.max()), s.bound)

    @per_case
    def test_float32_is_right_to_1e_4_where_it_can_be(self, case: Case) -> None:
        """The grid has such places, near the origin and some way out; the error there is measured, not bounded."""
        tried = 0
        for place, s in settings(case, torch.float32, rows=200):
            if s.bound <= 1e-4:
                tried += 1
                back = s.manifold.logmap(s.x, s.manifold.expmap(s.x, s.u))
                assert (lengths(s, s.x, back - s.u) / place.distance).max() <= 1e-4, place
        assert tried >= 12

    @per_case
    @per_dtype
    def test_distance_moved(self, case: Case, dtype: torch.dtype) -> None:
        for place, s in settings(case, dtype):
            y = s.manifold.expmap(s.x, s.u)
            moved = s.manifold.dist(s.x, y).detach().double()
            assert ((moved - place.distance).abs() / place.distance).max() <= s.bound, place
            squared = s.manifold.dist2(s.x, y).detach().double()
            torch.testing.assert_close(squared, moved.square(), rtol=40 * s.unit, atol=0)

    @per_case
    @per_dtype
    def test_agrees_with_mpmath(self, case: Case, dtype: torch.dtype) -> None:
        """On the very numbers that are in the tensors. The error is one of rounding the arguments and the result."""
        oracle = case.oracle(case.build(dtype))
        for place, s in settings(case, dtype, rows=2):
            v = case.vectors(s.manifold, s.x, seed=5)
            y = s.manifold.expmap(s.x, s.u).detach()
            back, carried = s.manifold.logmap(s.x, y), s.manifold.transp(s.x, y, v)
            along = s.manifold.expmap_transp(s.x, s.u, v)[1]
            for i in range(2):
                p, q = oracle.point(s.x[i]), oracle.point(y[i])
                u, w = oracle.tangent(p, s.u[i]), oracle.tangent(p, v[i])
                away = oracle.distance(q, oracle.expmap(p, u)) * math.sqrt(case.c)
                assert away <= s.bound * max(math.sinh(s.delta), s.delta), (place, "expmap", float(away))
                true = oracle.logmap(p, q)
                off = [a - b for a, b in zip(oracle.tangent(p, back[i]), true, strict=True)]
                assert mpmath.sqrt(oracle.product(p, off, off)) <= s.bound * place.distance, (place, "logmap")
                true = oracle.transport(p, q, w)
                ends = math.cosh(s.rho) + math.cosh(s.rho + s.delta)
                for name, found in (("transp", carried), ("expmap_transp", along)):
                    off = [a - b for a, b in zip(oracle.tangent(q, found[i]), true, strict=True)]
                    assert mpmath.sqrt(oracle.product(q, off, off)) <= 32 * s.unit * ends, (place, name)

    @per_case
    @per_dtype
    @pytest.mark.parametrize("radii", [(0.0, 3.0), (1e-4, 2e-4), (4.0, 4.0), (6.0, 0.1), (3.0, 6.4)], ids=str)
    def test_distances_agree_with_mpmath(self, case: Case, dtype: torch.dtype, radii: tuple[float, float]) -> None:
        """No worse than rounding the coordinates of the nearer point (of both in the ball), on any pair of points."""
        manifold = case.build(dtype)
        oracle = case.oracle(manifold)
        x, y = (case.points(manifold, dtype, 6, radius=r, seed=i) for i, r in enumerate(radii))
        found = manifold.dist(x, y).detach()
        root, unit = math.sqrt(case.c), torch.finfo(dtype).eps / 2
        reach = min(radii) if case.kind is Lorentz else max(radii)
        for i in range(6):
            true = oracle.distance(oracle.point(x[i]), oracle.point(y[i]))
            slack = 16 * unit * (float(true) + math.sinh(root * reach) / root)
            assert abs(float(found[i]) - true) <= slack

    @per_case
    @per_dtype
    def test_transport_keeps_products(self, case: Case, dtype: torch.dtype) -> None:
        for place, s in settings(case, dtype):
            v, w = case.vectors(s.manifold, s.x, seed=2), case.vectors(s.manifold, s.x, seed=3)
            y = s.manifold.expmap(s.x, s.u)
            before = s.manifold.inner(s.x, v, w)
            slack = 32 * s.unit * (math.cosh(s.rho) + math.cosh(s.rho + s.delta))
            if slack > 0.5:  # rounding leaves nothing of a tangent vector at y
                continue
            for carry in (s.manifold.transp, lambda x, y, v: s.manifold.transp_follow_retr(x, s.u, v)):  # noqa: B023
                after = s.manifold.inner(y, carry(s.x, y, v), carry(s.x, y, w))
                assert (after - before).abs().max() <= slack, place
            length = s.manifold.norm(y, s.manifold.transp(s.x, y, v))
            assert (length - 1).abs().max() <= slack, place

    @per_case
    @per_dtype
    def test_results_lie_on_the_manifold(self, case: Case, dtype: torch.dtype) -> None:
        """Points, and tangent vectors: relative to the size of the numbers, both to rounding."""
        for place, s in settings(case, dtype):
            v = case.vectors(s.manifold, s.x, seed=2)
            y, carried = s.manifold.retr_transp(s.x, s.u, v)
            assert s.manifold.check_point_on_manifold(y, atol=0, rtol=4 * s.unit), place
            for point, vector in (
                (y, carried),
                (y, s.manifold.transp(s.x, y, v)),
                (s.x, s.manifold.logmap(s.x, y)),
                (s.x, s.manifold.egrad2rgrad(s.x, torch.ones_like(s.x))),
                (s.x, s.manifold.proju(s.x, torch.ones_like(s.x))),
            ):
                slack = 32 * s.unit * (1 if vector is not carried else math.cosh(s.rho + s.delta))
                assert s.manifold.check_vector_on_tangent(point, vector, atol=0, rtol=slack), place

    @per_case
    @per_dtype
    def test_a_covector_keeps_the_vector(self, case: Case, dtype: torch.dtype) -> None:
        """There and back far from the origin: no more is lost than rounding the vector loses."""
        for place, s in settings(case, dtype):
            back = s.manifold.egrad2rgrad(s.x, s.manifold.rgrad2egrad(s.x, s.u))
            slack = 32 * s.unit * math.cosh(s.rho) * place.distance
            assert lengths(s, s.x, back - s.u).max() <= slack, place

    @per_case
    def test_float32_agrees_with_float64(self, case: Case) -> None:
        """Gradients as well: those of the distance, of length 1 both, at places of every kind."""
        exact = case.build(torch.float64)
        for place, s in settings(case, torch.float32):
            y = s.manifold.expmap(s.x, s.u).detach()
            found = gradient(s.manifold, s.x, y)
            x64, y64 = exact.projx(s.x.double()).detach(), exact.projx(y.double()).detach()
            true = gradient(exact, x64, y64)
            error = exact.norm(x64, found.double() - true).detach()
            assert error.max() <= 2 * s.bound, (place, float(error.max()), s.bound)
            torch.testing.assert_close(exact.norm(x64, true).detach(), torch.ones(len(true), dtype=torch.float64))


def gradient(manifold: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The Riemannian gradient in ``x`` of the distance to ``y``."""
    x = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(manifold.dist(x, y).sum(), x)
    return manifold.egrad2rgrad(x.detach(), plain).detach()
