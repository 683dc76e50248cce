"""The range of every manifold, its curvature, and the points that it draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gsam.manifolds import Hyperbolic
from tests.contracts.manifold_cases import CASES, DTYPES, Case, plain

per_case = pytest.mark.parametrize("case", CASES, ids=str)
per_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


class RangeContract:
    @per_case
    @per_dtype
    def test_an_error_outside_the_range_and_none_inside(self, case: Case, dtype: torch.dtype) -> None:
        manifold = case.build(dtype)
        reach = manifold.max_radius(dtype)
        edge = case.points(manifold, dtype, 4, radius=reach * (1 - 1e-5))
        assert edge.isfinite().all()
        assert manifold.dist(edge, edge.flip(0)).isfinite().all()
        origin = plain(manifold.origin(1, case.width, dtype=dtype))
        w = case.vectors(manifold, origin, length=reach + 1 / math.sqrt(case.c))
        for call in (lambda: manifold.expmap(origin, w), lambda: manifold.expmap0(manifold.coordinates(origin, w))):
            with pytest.raises(ValueError, match=r"expected points of .* at most .* float(32|64), found .*; clip"):
                call()
        with pytest.raises(ValueError, match="found a NaN"):
            manifold.expmap(origin, w * math.nan)

    @per_case
    def test_the_check_can_be_turned_off(self, case: Case) -> None:
        manifold = case.kind(case.c, case.learnable, checked=False)
        origin = plain(manifold.origin(1, case.width))
        w = case.vectors(manifold, origin, length=500.0)
        manifold.expmap(origin, w)
        case.build(torch.float32).retr(origin, w)

    @pytest.mark.parametrize("c", [0.0, -1.0, math.nan, math.inf])
    @pytest.mark.parametrize("kind", list(dict.fromkeys(case.kind for case in CASES)))
    def test_curvature_must_be_negative(self, kind: type[Hyperbolic], c: float) -> None:
        with pytest.raises(ValueError, match="expected a finite c > 0"):
            kind(c)


class CurvatureContract:
    @pytest.mark.parametrize("case", [case for case in CASES if not case.learnable], ids=str)
    def test_a_fixed_one_is_a_number(self, case: Case) -> None:
        manifold = case.build()
        assert manifold.c == case.c
        assert isinstance(manifold.c, float)
        assert not list(manifold.parameters())
        assert not manifold.state_dict()

    @pytest.mark.parametrize("case", [case for case in CASES if case.learnable], ids=str)
    def test_a_learned_one_stays_positive_and_is_learned(self, case: Case) -> None:
        """The curvature that gives two points their distance is found, from far off; steps far too large do no harm."""
        manifold, true = case.build(), case.kind(2.5)
        assert manifold.c.item() == pytest.approx(case.c, rel=1e-6)
        space = 0.1 * torch.randn(8, case.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        goal = true.dist(true.projx(space[:4]), true.projx(space[4:]))
        optimizer = torch.optim.Adam(manifold.parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            off = manifold.dist(manifold.projx(space[:4]), manifold.projx(space[4:])) - goal
            off.square().sum().backward()
            optimizer.step()
        assert manifold.c.item() == pytest.approx(2.5, rel=1e-3)
        with torch.no_grad():
            for param in manifold.parameters():
                param -= 30.0
        assert manifold.c > 0

    @pytest.mark.parametrize("case", [case for case in CASES if case.learnable], ids=str)
    def test_registered_by_the_module_that_owns_it(self, case: Case) -> None:
        owner = nn.Module()
        owner.manifold = case.build()
        assert list(owner.state_dict()) == ["manifold.log_c"]


class SamplingContract:
    @per_case
    def test_mean_and_std_are_honoured(self, case: Case) -> None:
        manifold = case.build()
        mean = case.points(manifold, torch.float64, 1, radius=2.0)[0]
        std = torch.linspace(0.1, 0.7, 4, dtype=torch.float64)
        drawn = manifold.random_normal(
            40_000, case.width, mean=mean, std=std, generator=torch.Generator().manual_seed(0)
        )
        assert drawn.manifold is manifold
        assert drawn.dtype == torch.float64
        v = manifold.coordinates(mean, manifold.logmap(mean, plain(drawn))).detach()
        assert (v.mean(0).abs() < 5 * std / 200).all()
        torch.testing.assert_close(v.std(0), std, rtol=0.02, atol=0)
        about = manifold.random_normal((40_000, case.width), std=0.5, dtype=torch.float64)
        square = manifold.dist0(plain(about)).square().mean()
        assert float(square.detach()) == pytest.approx(4 * 0.25, rel=0.05)

    @per_case
    def test_density_integrates_to_one(self, case: Case) -> None:
        """In the plane, in polar coordinates about a point that is not the mean."""
        manifold = case.build()
        radii = torch.linspace(0.0025, 9.9975, 2000, dtype=torch.float64)
        angles = torch.arange(90, dtype=torch.float64) * (2 * math.pi / 90)
        circle = torch.stack([angles.cos(), angles.sin()], -1)
        centre = plain(manifold.origin(1, case.width - 2, dtype=torch.float64))
        points = manifold.expmap(
            centre, manifold.from_coordinates(centre, (radii[:, None, None] * circle).flatten(0, 1))
        )
        mean = manifold.expmap(centre, manifold.from_coordinates(centre, torch.tensor([[0.5, -0.3]]).double()))
        std = torch.tensor([0.5, 0.8], dtype=torch.float64)
        density = manifold.log_prob(points, mean, std).exp().reshape(2000, 90)
        root = math.sqrt(float(torch.as_tensor(manifold.c).detach()))
        area = torch.sinh(root * radii) / root * (radii[1] - radii[0]) * (2 * math.pi / 90)
        assert float((density * area[:, None]).sum().detach()) == pytest.approx(1, abs=1e-4)

    @per_case
    def test_a_number_is_no_mean(self, case: Case) -> None:
        with pytest.raises(ValueError, match="expected mean to be a point of the manifold"):
            case.build().random_normal(3, case.width, mean=0.5)

    @per_case
    def test_origin(self, case: Case) -> None:
        manifold = case.build()
        origin = manifold.origin(2, case.width, dtype=torch.float64)
        assert origin.manifold is manifold
        assert torch.equal(manifold.dist0(plain(origin)), torch.zeros(2, dtype=torch.float64))
        assert manifold.check_point_on_manifold(origin, atol=0, rtol=1e-15)
