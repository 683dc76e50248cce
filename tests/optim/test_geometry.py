from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gsam.optim import Adaptive, Euclidean, Geometry
from gsam.optim.sites import find_site
from tests.optim.problems import flat


def site_of(geometry: Geometry, **options: float):
    torch.manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in ((3, 2), (4,))]
    for p in params:
        p.grad = torch.randn_like(p)
    return find_site({"params": params, "rho": 0.1, **geometry.options, **options})


@pytest.mark.parametrize(("geometry", "eta"), [(Euclidean(), None), (Adaptive(), 0.0), (Adaptive(0.25), 0.25)])
def test_formulas(geometry: Geometry, eta: float | None) -> None:
    r"""Norm :math:`\|T g\|` and direction :math:`T^2 g`, with :math:`T = 1` or :math:`|w| + \eta`."""
    site = site_of(geometry)
    w, g = flat(site.points), flat(site.grads)
    scale = torch.ones_like(w) if eta is None else w.abs() + eta
    torch.testing.assert_close(geometry.squared_dual_norm(site), (scale * g).square().sum())
    direction = geometry.direction(site)
    torch.testing.assert_close(flat(direction), scale**2 * g)
    with torch.no_grad():
        geometry.move(site, direction, 0.3)
    torch.testing.assert_close(flat(site.points), w + 0.3 * scale**2 * g)
    assert torch.equal(flat(site.grads), g)


@pytest.mark.parametrize("geometry", [Euclidean(), Adaptive(), Adaptive(0.1)])
def test_direction_is_the_steepest(geometry: Geometry) -> None:
    """No unit vector of the primal norm has a larger product with the gradient: the dual norm is that product."""
    site = site_of(geometry)
    w, g = flat(site.points), flat(site.grads)
    scale = torch.ones_like(w) if isinstance(geometry, Euclidean) else w.abs() + geometry.options["eta"]
    dual = geometry.squared_dual_norm(site).sqrt()
    best = flat(geometry.direction(site)) / dual
    torch.testing.assert_close((best / scale).norm(), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(best @ g, dual)
    for _ in range(50):
        other = scale * nn.functional.normalize(torch.randn_like(w), dim=0)
        assert other @ g <= dual + 1e-12


def test_eta_lives_in_the_group() -> None:
    geometry = Adaptive(0.5)
    site = site_of(geometry, eta=0.0)
    torch.testing.assert_close(geometry.squared_dual_norm(site), (flat(site.points) * flat(site.grads)).square().sum())


@pytest.mark.parametrize("eta", [-0.1, math.nan, math.inf])
def test_bad_eta(eta: float) -> None:
    with pytest.raises(ValueError, match="expected a finite eta >= 0"):
        Adaptive(eta)


def test_flat_pull_back_changes_nothing() -> None:
    site = site_of(Euclidean())
    before = flat([p.grad for p in site.params])
    Euclidean().pull_back(site, [p.detach().clone() for p in site.params])
    assert torch.equal(flat([p.grad for p in site.params]), before)
