"""What both models inherit, where the contract does not look: the switch of the checks, sampling by seed, printing."""

from __future__ import annotations

import math

import pytest
import torch

from gsam.manifolds import Hyperbolic, Lorentz, PoincareBall, lorentz_math
from gsam.manifolds.rows import dot

MODELS = (Lorentz, PoincareBall)


def test_the_base_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Hyperbolic()


@pytest.mark.parametrize("kind", MODELS)
def test_optimizer_methods_never_look(kind: type[Hyperbolic], monkeypatch: pytest.MonkeyPatch) -> None:
    """No decision on the host, so no wait for a device: the truth of a tensor is asked by checked methods only."""
    manifold = kind(checked=True)
    x = manifold.random_normal(5, 4).as_subclass(torch.Tensor)
    u = manifold.proju(x, torch.randn(5, 4))
    asked = []
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: bool(asked.append(1)) or True)
    monkeypatch.setattr(torch.Tensor, "item", lambda self: asked.append(1))
    manifold.retr(x, u)
    manifold.retr_transp(x, u, u)
    manifold.transp_follow_retr(x, u, u)
    manifold.transp(x, x, u)
    manifold.egrad2rgrad(x, u)
    manifold.rgrad2egrad(x, u)
    manifold.component_inner(x, u)
    manifold.norm(x, u)
    manifold.dist(x, x)
    manifold.projx(x)
    assert not asked
    manifold.expmap(x, u)
    assert asked


def test_the_two_models_draw_the_same_points() -> None:
    lorentz, ball = Lorentz(0.5), PoincareBall(0.5)
    mean = lorentz_math.expmap0(torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64), 0.5)
    drawn = lorentz.random_normal(50, 4, mean=mean, std=0.4, generator=torch.Generator().manual_seed(3))
    other = ball.random_normal(
        50, 3, mean=lorentz.to_poincare(mean), std=0.4, generator=torch.Generator().manual_seed(3)
    )
    torch.testing.assert_close(lorentz.to_poincare(drawn.as_subclass(torch.Tensor)), other.as_subclass(torch.Tensor))


@pytest.mark.parametrize("kind", MODELS)
def test_log_prob_at_the_mean(kind: type[Hyperbolic]) -> None:
    """There the volume is that of flat space, and the density of a normal distribution."""
    manifold = kind(2.0)
    mean = manifold.random_normal(5, 4, dtype=torch.float64).as_subclass(torch.Tensor)
    dim = manifold.coordinates(mean, torch.zeros_like(mean)).shape[-1]
    expected = torch.full((5,), -dim * math.log(0.3 * math.sqrt(2 * math.pi)), dtype=torch.float64)
    torch.testing.assert_close(manifold.log_prob(mean, mean, 0.3), expected)


@pytest.mark.parametrize("kind", MODELS)
def test_log_prob_falls_by_the_volume_too(kind: type[Hyperbolic]) -> None:
    """At distance t from the origin the normal's density is divided by (sinh(t) / t)^(d - 1)."""
    manifold = kind()
    origin = manifold.origin(1, 4, dtype=torch.float64).as_subclass(torch.Tensor)
    w = torch.zeros_like(manifold.coordinates(origin, torch.zeros_like(origin)))
    w[:, 0] = 1.7
    dim = w.shape[-1]
    expected = -0.5 * dot(w, w) - dim / 2 * math.log(2 * math.pi) - (dim - 1) * math.log(math.sinh(1.7) / 1.7)
    found = manifold.log_prob(manifold.expmap(origin, manifold.from_coordinates(origin, w)))
    torch.testing.assert_close(found, expected[:, 0])


def test_printing() -> None:
    assert repr(Lorentz(0.5)) == "Lorentz(c=0.5) manifold"
    assert repr(PoincareBall(2, learnable=True)) == "PoincareBall(c=2, learnable=True) manifold"


def test_the_range_that_methods_name_is_that_of_the_formulas() -> None:
    assert Lorentz(4.0).max_radius(torch.float64) == lorentz_math.max_radius(4.0, torch.float64)
    assert Lorentz(4.0).max_radius() == lorentz_math.max_radius(4.0, torch.float32)
    assert Lorentz(4.0).rounding_error(1.0, 0.5) == lorentz_math.rounding_error(1.0, 0.5, 4.0)
