"""The hyperboloid as a geoopt manifold: what is its own beside the contract."""

from __future__ import annotations

import geoopt
import pytest
import torch
from torch import Tensor

from gsam.manifolds import Lorentz, PoincareBall, lorentz_math


def draw(manifold: Lorentz, *size: int) -> Tensor:
    return manifold.random_normal(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).as_subclass(
        Tensor
    )


@pytest.mark.parametrize("c", [0.25, 1.0, 4.0])
def test_agrees_with_geoopt_near_the_origin(c: float) -> None:
    """geoopt's k is 1 / c; its formulas are good in float64 about the origin."""
    ours, theirs = Lorentz(c), geoopt.Lorentz(1 / c).double()
    x, y = draw(ours, 20, 5)[:10], draw(ours, 20, 5)[10:]
    u, v = (ours.from_coordinates(x, w) for w in torch.randn(2, 10, 4, dtype=torch.float64))
    g = torch.randn(10, 5, dtype=torch.float64)
    pairs = [
        (ours.dist(x, y), theirs.dist(x, y)),
        (ours.dist0(x), theirs.dist0(x)),
        (ours.inner(x, u, v), theirs.inner(x, u, v)),
        (ours.norm(x, u), theirs.norm(u)),
        (ours.projx(g), theirs.projx(g)),
        (ours.proju(x, g), theirs.proju(x, g)),
        (ours.egrad2rgrad(x, g), theirs.egrad2rgrad(x, g.clone())),  # it writes into its argument
        (ours.expmap(x, u), theirs.expmap(x, u)),
        (ours.logmap(x, y), theirs.logmap(x, y)),
        (ours.transp(x, y, u), theirs.transp(x, y, u)),
        (ours.logmap0(x), theirs.logmap0(x)[..., 1:]),
        (ours.coordinates(x, u), theirs.transp0back(x, u)[..., 1:]),
        (ours.origin(2, 5, dtype=torch.float64), theirs.origin(2, 5)),
    ]
    for i, (found, expected) in enumerate(pairs):
        torch.testing.assert_close(
            found.as_subclass(Tensor), expected.as_subclass(Tensor).detach(), rtol=1e-6, atol=1e-6, msg=str(i)
        )


def test_the_other_model() -> None:
    lorentz, ball = Lorentz(0.3), PoincareBall(0.3)
    x, y = draw(lorentz, 20, 5)[:10], draw(lorentz, 20, 5)[10:]
    p = lorentz.to_poincare(x)
    assert p.shape == (10, 4)
    torch.testing.assert_close(lorentz.from_poincare(p), x)
    torch.testing.assert_close(ball.dist(p, lorentz.to_poincare(y)), lorentz.dist(x, y))


def test_expmap0_takes_space_coordinates() -> None:
    manifold = Lorentz(0.3)
    w = torch.tensor([[3.0, 0.0, 4.0]], dtype=torch.float64)
    x = manifold.expmap0(w)
    assert x.shape == (1, 4)
    assert manifold.dist0(x).item() == pytest.approx(5.0, rel=1e-14)
    torch.testing.assert_close(manifold.logmap0(x), w)


def test_the_time_coordinate_of_a_tangent_vector_is_not_read() -> None:
    """It follows from the others; what is there may be anything."""
    manifold = Lorentz()
    x = draw(manifold, 4, 5)
    u = manifold.from_coordinates(x, torch.randn(4, 4, dtype=torch.float64))
    spoilt = u.clone()
    spoilt[:, 0] = 1e3
    assert torch.equal(manifold.expmap(x, u), manifold.expmap(x, spoilt))
    assert torch.equal(manifold.norm(x, u), manifold.norm(x, spoilt))
    assert torch.equal(manifold.transp(x, x, u), manifold.transp(x, x, spoilt))


@pytest.mark.parametrize("shape", [(), (3, 1)])
def test_shapes_that_are_no_points(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(\.\.\., d \+ 1\)"):
        Lorentz().assert_check_point(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"shape \(\.\.\., d \+ 1\)"):
        geoopt.ManifoldParameter(torch.zeros(shape), manifold=Lorentz())


def test_checks_are_relative() -> None:
    """A point at radius 9 in float32 passes, though its form is off by far more than 1; one off by 1e-3 does not."""
    manifold = Lorentz()
    x = lorentz_math.expmap0(9 * torch.nn.functional.normalize(torch.randn(50, 4), dim=-1), 1.0)
    form = lorentz_math.inner(x, x)
    assert (form + 1).abs().max() > 0.5
    assert manifold.check_point_on_manifold(x)
    off = x.clone()
    off[7, 0] *= 1.001
    ok, reason = manifold.check_point_on_manifold(off, explain=True)
    assert not ok
    assert "off by 0.001" in reason
    u = manifold.from_coordinates(x, torch.randn(50, 4))
    assert manifold.check_vector_on_tangent(x, u)
    u[7, 0] *= 1.01
    assert not manifold.check_vector_on_tangent(x, u)
    assert not manifold.check_point_on_manifold(torch.tensor([-1.0, 0.0, 0.0]))


def test_expmap_transp_is_checked() -> None:
    manifold = Lorentz()
    x = torch.tensor([[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="range of float32"):
        manifold.expmap_transp(x, torch.tensor([[0.0, 60.0, 0.0]]), x)
    with pytest.raises(ValueError, match="range of float32"):
        manifold.expmap0(torch.tensor([[60.0, 0.0]]))


def test_compiled_with_gradients() -> None:
    """Through the compiler's own tracing of the backward pass, for a curvature that is learned."""
    manifold = Lorentz(0.7, learnable=True)

    def loss(w: Tensor, v: Tensor) -> Tensor:
        return manifold.dist2(manifold.expmap0(w), manifold.expmap0(v)).sum()

    w, v = torch.randn(2, 6, 3)
    grads = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        a, b = w.clone().requires_grad_(), v.clone().requires_grad_()
        grads.append(torch.autograd.grad(function(a, b), [a, b, *manifold.parameters()]))
    torch.testing.assert_close(grads[0], grads[1])
