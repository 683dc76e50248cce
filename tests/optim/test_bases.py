"""What a base optimizer knows of manifolds, and gradients that it must not change."""

from __future__ import annotations

import geoopt
import pytest
import torch
from torch import nn

from gsam.manifolds import Lorentz
from gsam.optim import SAM, RiemannianAdam, RiemannianSGD
from gsam.optim.bases import check_manifolds, curved_manifold, kept_gradients
from tests.optim.manifold_problems import MANIFOLDS, point_on


def test_where_the_manifold_comes_from() -> None:
    """The group counts before the parameter; what is Euclidean is flat."""
    lorentz, sphere = Lorentz(), geoopt.Sphere()
    point, plain = point_on(sphere, 3), nn.Parameter(torch.ones(3, 4))
    assert curved_manifold({"manifold": lorentz}, point) is lorentz
    assert curved_manifold({"manifold": lorentz}, plain) is lorentz
    assert curved_manifold({"manifold": None}, point) is sphere
    assert curved_manifold({}, point) is sphere
    assert curved_manifold({}, plain) is None
    assert curved_manifold({"manifold": geoopt.Euclidean(ndim=1)}, point) is None
    assert curved_manifold({}, geoopt.ManifoldParameter(plain.detach())) is None


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_torch_optimizers_would_leave(kind: type[torch.optim.Optimizer]) -> None:
    base = kind([point_on(Lorentz(), 3)], lr=0.1)
    with pytest.raises(ValueError, match=f"torch's {kind.__name__}, whose steps leave the manifold; take gsam"):
        check_manifolds(base, base.param_groups[0])
    flat = kind([nn.Parameter(torch.ones(2)), geoopt.ManifoldParameter(torch.ones(2))], lr=0.1)
    check_manifolds(flat, flat.param_groups[0])


@pytest.mark.parametrize("kind", [geoopt.optim.RiemannianSGD, geoopt.optim.SparseRiemannianAdam])
def test_geoopt_sees_parameters_only(kind: type[torch.optim.Optimizer]) -> None:
    point = point_on(Lorentz(), 3)
    plain = nn.Parameter(point.detach().clone())
    base = kind([{"params": [plain], "manifold": point.manifold}], lr=0.1)
    with pytest.raises(ValueError, match=r"ManifoldParameter for geoopt's .* only its group knows"):
        check_manifolds(base, base.param_groups[0])
    for group in ({"params": [point]}, {"params": [point], "manifold": point.manifold}):
        check_manifolds(kind([group], lr=0.1), group)


@pytest.mark.parametrize("kind", [RiemannianSGD, RiemannianAdam])
def test_ours_see_both(kind: type[torch.optim.Optimizer]) -> None:
    point = point_on(Lorentz(), 3)
    groups = [{"params": [nn.Parameter(point.detach().clone())], "manifold": point.manifold}, {"params": [point]}]
    base = kind(groups, lr=0.1)
    for group in base.param_groups:
        check_manifolds(base, group)


@pytest.mark.parametrize("kind", [geoopt.optim.RiemannianSGD, geoopt.optim.RiemannianAdam])
def test_geoopt_gets_copies(kind: type[torch.optim.Optimizer]) -> None:
    """Left alone it adds the weight decay to ``p.grad`` and turns signs in it."""
    point = point_on(MANIFOLDS["geoopt-lorentz"](), 3)
    other = geoopt.ManifoldParameter(point.detach().clone(), manifold=point.manifold)
    base, twin = kind([point], lr=0.1, weight_decay=0.1), kind([other], lr=0.1, weight_decay=0.1)
    point.grad = torch.ones_like(point)
    other.grad = torch.ones_like(point)
    grad = point.grad
    with kept_gradients(base):
        base.step()
    twin.step()
    assert torch.equal(point, other)
    assert point.grad is grad
    assert torch.equal(grad, torch.ones_like(grad))
    assert not torch.equal(other.grad, grad)
    with pytest.raises(KeyError), kept_gradients(base):
        raise KeyError
    assert point.grad is grad


def test_every_wrapper_keeps_them() -> None:
    """SAM around geoopt's Adam: the gradient that it descends with is there after the step."""
    weight = nn.Parameter(torch.ones(3))
    opt = SAM([weight], geoopt.optim.RiemannianAdam, lr=0.1, weight_decay=0.5)
    weight.square().sum().backward()
    with opt.perturbed():
        weight.square().sum().backward()
    grad = weight.grad.clone()
    opt.descend()
    assert torch.equal(weight.grad, grad)


@pytest.mark.parametrize("nesterov", [True, False])
def test_torch_foreach_nesterov(nesterov: bool) -> None:
    """It adds the momentum to ``p.grad`` itself."""
    weight = nn.Parameter(torch.ones(3))
    base = torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=nesterov, foreach=True)
    for _ in range(2):
        weight.grad = torch.ones(3)
        with kept_gradients(base):
            base.step()
        assert torch.equal(weight.grad, torch.ones(3))


def test_others_get_the_gradients_themselves() -> None:
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    grad = weight.grad
    with kept_gradients(RiemannianSGD([weight])):
        assert weight.grad is grad
