from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from geoopt import ManifoldParameter
from torch import Tensor, nn

from gsam.manifolds import Lorentz
from gsam.optim import SAM, LookSAM, LorentzSAM, RiemannianAdam, RiemannianSAM, StepGuard
from gsam.optim.shards import WHOLE, Shards

DOUBLE = torch.float64
ELSEWHERE = 5.0  # the squared norm that the other process would send


def with_more(values: Tensor) -> Tensor:
    return values.add_(ELSEWHERE)


def parameters() -> tuple[nn.Parameter, nn.Parameter]:
    shard, whole = (nn.Parameter(torch.tensor(entries, dtype=DOUBLE)) for entries in ([[3.0, 4.0]], [1.0, 2.0]))
    shard.grad, whole.grad = torch.tensor([[2.0, 0.0]], dtype=DOUBLE), torch.tensor([0.0, 4.0], dtype=DOUBLE)
    return shard, whole


def test_without_shards_nothing_is_added() -> None:
    shard, whole = parameters()
    assert not WHOLE
    assert shard not in WHOLE
    assert not WHOLE.holds([shard, whole])
    squares = [torch.tensor(1.0), torch.tensor(2.0)]
    assert WHOLE.joined(squares, [False, False]) == squares
    assert WHOLE.squared_norm({shard: shard.grad, whole: whole.grad}).item() == 20.0
    assert WHOLE.squared_norm({}).item() == 0.0
    with pytest.raises(ValueError, match="found shards without one"):
        Shards([shard])


def test_squares_of_shards_are_those_of_all_processes() -> None:
    shard, whole = parameters()
    shards = Shards([shard], with_more)
    assert shards
    assert shard in shards
    assert whole not in shards
    assert shards.holds([shard])
    assert not shards.holds([whole])
    assert not shards.holds([])
    with pytest.raises(ValueError, match="found both in one"):
        shards.holds([shard, whole])
    squares = [torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)]
    assert [found.item() for found in shards.joined(squares, [False, True, False])] == [1.0, 2.0 + ELSEWHERE, 3.0]
    assert shards.squared_norm({shard: shard.grad, whole: whole.grad}).item() == 20.0 + ELSEWHERE
    assert shards.squared_norm({whole: whole.grad}).item() == 16.0 + ELSEWHERE  # all processes must ask


def test_the_radius_goes_by_the_joint_norm() -> None:
    """A step of rho = 1 along gradients of squared norm 20 here and 5 elsewhere moves by g / 5."""
    shard, whole = parameters()
    opt = SAM([{"params": [shard]}, {"params": [whole]}], torch.optim.SGD, lr=1.0, rho=1.0)
    opt.set_shards(Shards([shard], with_more))
    before = [shard.detach().clone(), whole.detach().clone()]
    with opt.perturbed():
        torch.testing.assert_close(shard.detach() - before[0], torch.tensor([[2.0, 0.0]], dtype=DOUBLE) / 5)
        torch.testing.assert_close(whole.detach() - before[1], torch.tensor([0.0, 4.0], dtype=DOUBLE) / 5)
    assert torch.equal(shard, before[0])


@pytest.mark.parametrize("kind", [SAM, RiemannianSAM])
def test_clipping_goes_by_the_joint_norm(kind: type[SAM | RiemannianSAM]) -> None:
    shard, whole = parameters()
    opt = kind([{"params": [shard]}, {"params": [whole]}], torch.optim.SGD, lr=1.0, rho=0.0, max_grad_norm=1.0)
    opt.set_shards(Shards([shard], with_more))
    opt.descend()
    torch.testing.assert_close(shard.detach(), torch.tensor([[3.0 - 2.0 / 5, 4.0]], dtype=DOUBLE))
    torch.testing.assert_close(whole.detach(), torch.tensor([1.0, 2.0 - 4.0 / 5], dtype=DOUBLE))


def test_the_riemannian_radius_goes_by_the_joint_norm() -> None:
    """From the origin of the hyperboloid along a gradient of norm 2 there and 5 elsewhere in squares: 9 together."""
    point = ManifoldParameter(torch.tensor([[1.0, 0.0, 0.0]], dtype=DOUBLE), manifold=Lorentz())
    point.grad = torch.tensor([[0.0, 2.0, 0.0]], dtype=DOUBLE)
    opt = LorentzSAM([point], RiemannianAdam, lr=0.1, rho=0.6)
    opt.set_shards(Shards([point], with_more))
    with opt.perturbed():
        length = 0.6 * 2 / 3
        expected = torch.tensor([[math.cosh(length), math.sinh(length), 0.0]], dtype=DOUBLE)
        torch.testing.assert_close(point.detach().as_subclass(Tensor), expected)


@pytest.mark.parametrize("name", ["sam", "adam"])
def test_a_step_is_skipped_where_another_process_has_no_finite_gradient(name: str) -> None:
    model = nn.ParameterList(parameters())
    groups: list[dict[str, Any]] = [{"params": [parameter]} for parameter in model]
    shards = Shards([model[0]], lambda squares: squares.mul_(math.nan))
    opt = SAM(groups, torch.optim.Adam, lr=0.1) if name == "sam" else torch.optim.Adam(groups, lr=0.1)
    if isinstance(opt, SAM):
        opt.set_shards(shards)
    guard = StepGuard(model, opt, shards=shards)
    before = [parameter.detach().clone() for parameter in model]

    def closure() -> Tensor:
        opt.zero_grad()
        loss = model[0].sum() * model[1].sum()
        loss.backward()
        return loss.detach()

    opt.step(guard.closure(closure))
    assert guard.skipped == 1
    assert all(torch.equal(parameter, old) for parameter, old in zip(model, before, strict=True))


def test_what_compares_gradients_is_refused() -> None:
    shard, whole = parameters()
    groups: list[dict[str, Any]] = [{"params": [shard]}, {"params": [whole]}]
    shards = Shards([shard], with_more)
    with pytest.raises(ValueError, match="found LookSAM that compares gradients"):
        LookSAM(groups, torch.optim.SGD, lr=0.1, k=2).set_shards(shards)
    with pytest.raises(ValueError, match="or per='parameter'"):
        RiemannianSAM(groups, torch.optim.SGD, lr=0.1, per="parameter").set_shards(shards)
    with pytest.raises(ValueError, match="found both in one"):
        SAM([shard, whole], torch.optim.SGD, lr=0.1).set_shards(shards)
    LookSAM([shard, whole], torch.optim.SGD, lr=0.1, k=2).set_shards(WHOLE)
