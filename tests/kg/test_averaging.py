from __future__ import annotations

import pytest
import torch
from geoopt import ManifoldParameter
from torch import nn
from torch.testing import assert_close

from gsam.kg.averaging import WeightAverage
from gsam.manifolds import Lorentz


class Points(nn.Module):
    """Points on a hyperboloid beside plain numbers and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.manifold = Lorentz(0.7)
        self.points = ManifoldParameter(self.manifold.random_normal(5, 4, std=0.4), manifold=self.manifold)
        self.plain = nn.Parameter(torch.randn(3))
        self.register_buffer("count", torch.zeros(()))


def wander(model: Points, steps: int, average: WeightAverage) -> list[dict[str, torch.Tensor]]:
    seen = []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            model.points.copy_(model.manifold.projx(model.points + 0.3 * torch.randn(5, 4, generator=generator)))
            model.plain.add_(torch.randn(3, generator=generator))
            model.count.add_(1)
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        average.update()
    return seen


@pytest.mark.parametrize("every", [1, 3])
def test_equals_a_loop_in_float64(every: int) -> None:
    model = Points()
    average = WeightAverage(model, 0.9, every=every)
    mean = {name: value.detach().double() for name, value in model.named_parameters()}
    seen = wander(model, 30, average)
    for taken, state in enumerate(seen[every - 1 :: every], 1):
        decay = min(0.9**every, (1 + taken) / (10 + taken))
        mean = {name: decay * value + (1 - decay) * state[name].double() for name, value in mean.items()}
    with average.applied():
        assert_close(model.plain.detach().double(), mean["plain"], rtol=1e-5, atol=1e-6)
        expected = model.manifold.projx(mean["points"])
        assert_close(model.points.detach().double(), expected, rtol=1e-5, atol=1e-6)
        assert model.count == 30


def test_points_are_on_the_manifold_and_the_own_weights_come_back() -> None:
    model = Points()
    average = WeightAverage(model, 0.5, every=1)
    last = wander(model, 20, average)[-1]
    with average.applied():
        points = model.points.detach().double()
        form = -points[:, 0].square() + points[:, 1:].square().sum(1)
        assert_close(form, torch.full_like(form, -1 / 0.7), rtol=1e-5, atol=0)
        assert not torch.equal(model.plain, last["plain"])
    with pytest.raises(RuntimeError, match="stop"), average.applied():
        raise RuntimeError("stop")
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())


def test_constant_weights_are_their_own_average() -> None:
    model = Points()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = WeightAverage(model, 0.99)
    for _ in range(50):
        average.update()
    with average.applied():
        for name, value in model.state_dict().items():
            assert_close(value, before[name], rtol=1e-6, atol=1e-6)
