from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gsam.kg.groups import parameter_groups
from gsam.kg.limits import constrain
from gsam.kg.models import HyboNet
from gsam.optim import LorentzSAM, RiemannianAdam


def stepped(wrap: bool = False, *, push: float = 0.5) -> tuple[HyboNet, Any, Tensor]:
    """A model after one step of length about ``push`` of entities 0, 2 and 3, and where they were."""
    torch.manual_seed(0)
    model = HyboNet(6, 2, 4, sparse=True, max_norm=1.0).double()
    groups: Any = parameter_groups(model, RiemannianAdam, {})
    optimizer = LorentzSAM(groups, RiemannianAdam, lr=push, rho=0.01) if wrap else RiemannianAdam(groups, lr=push)
    before = model.node_emb.weight.detach().clone()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -model.node_emb(torch.tensor([0, 2, 3, 2])).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model, optimizer, before


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 2, 3]), None])
def test_points_come_in_and_momentum_keeps_its_length(rows: Tensor | None, wrap: bool) -> None:
    model, optimizer, start = stepped(wrap)
    base = optimizer.base if wrap else optimizer
    table, momentum = model.node_emb.weight.detach(), base.state[model.node_emb.weight]["exp_avg"]
    before, lengths = table.clone(), model.manifold.norm(table, momentum)
    others = momentum[[1, 4, 5]].clone()
    constrain(model, optimizer, rows)
    moved = torch.tensor([0, 2, 3])
    assert_close(table[moved, 1:].norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert (before[moved, 1:].norm(dim=1) > 1.05).all()
    assert_close(model.manifold.norm(table, momentum), lengths, rtol=1e-9, atol=1e-12)
    minkowski = (table * momentum)[:, 1:].sum(1) - (table * momentum)[:, 0]
    assert_close(minkowski, torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-9)
    assert torch.equal(momentum[[1, 4, 5]], others)
    assert lengths[moved].min() > 0
    assert not torch.equal(before, start)


def test_a_point_that_pushes_against_its_limit_gathers_no_momentum() -> None:
    """The same gradient 200 times: its average cannot become longer than it is."""
    model, optimizer, _ = stepped()
    table = model.node_emb.weight
    rows = torch.tensor([0])
    longest = 0.0
    for _ in range(200):
        optimizer.zero_grad()
        (-model.node_emb(rows)[:, 1:].square().sum()).backward()
        optimizer.step()
        constrain(model, optimizer, rows)
        momentum = optimizer.state[table]["exp_avg"]
        longest = max(longest, float(model.manifold.norm(table.detach(), momentum)[0]))
    gradient = model.manifold.egrad2rgrad(table.detach(), table.grad.to_dense())  # type: ignore[union-attr]
    assert longest < 1.1 * float(model.manifold.norm(table.detach(), gradient)[0])


def test_plain_optimizers_and_models_without_limits() -> None:
    model, _, _ = stepped()
    constrain(model, torch.optim.SGD(model.parameters(), lr=0.1), None)
    assert_close(model.node_emb.weight.detach()[[0, 2, 3], 1:].norm(dim=1), torch.ones(3, dtype=torch.float64))
    table = torch.nn.Embedding(3, 2)
    before = table.weight.detach().clone()
    constrain(table, torch.optim.SGD(table.parameters(), lr=0.1), None)
    assert torch.equal(table.weight, before)
