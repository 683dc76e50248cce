"""Averaged gradients of two processes against those of one that sees everything."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from geoopt import ManifoldParameter
from torch import Tensor, nn

from gsam.distributed import ALONE, Ranks, Replica, average_statistics
from gsam.manifolds import Lorentz
from gsam.optim import AESAM, FGSAM, SAM, LookSAM, LorentzSAM, RiemannianAdam
from tests.processes import in_processes

DOUBLE = torch.float64
SPLIT = 3  # samples of the first process; the other has the remaining 5


class Model(nn.Module):
    """A row-sparse table, a dense layer in two precisions, a layer in use in one process only, and one in none."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(9, 4, sparse=True, dtype=DOUBLE)
        self.layer = nn.Linear(4, 3, dtype=DOUBLE)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.seldom = nn.Linear(3, 1, dtype=DOUBLE)
        self.never = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(4, dtype=DOUBLE)

    def losses(self, samples: Tensor) -> Tensor:
        values = self.layer(self.table(samples)) * self.scale
        rare = torch.where(samples >= 5, self.seldom(values).squeeze(1), 0.0) if (samples >= 5).any() else 0.0
        return values.square().sum(1) + rare


SAMPLES = torch.tensor([0, 1, 1, 2, 7, 8, 8, 1])


def closure_of(model: Model, samples: Tensor) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        model.zero_grad()
        loss = model.losses(samples).mean()
        loss.backward()
        return loss.detach()

    return closure


def gradients(ranks: Ranks) -> dict[str, Any]:
    model = Model()
    own = SAMPLES[:SPLIT] if ranks.first else SAMPLES[SPLIT:]
    replica = Replica(model, ranks, torch.optim.SGD(model.parameters(), lr=1))
    closure = replica.closure(closure_of(model, own), len(own) / len(SAMPLES))
    found: dict[str, Any] = {"loss": closure()}
    found["kept by the loss"] = found["loss"].untyped_storage().nbytes()
    found |= {name: p.grad for name, p in model.named_parameters()}
    found["layout"] = model.table.weight.grad.is_sparse
    with replica.no_sync():
        found["own loss"] = closure()
    found["own"] = model.layer.weight.grad
    model.norm.running_mean.fill_(float(ranks.rank))
    average_statistics(model, ranks)
    found["statistics"] = model.norm.running_mean, model.norm.num_batches_tracked
    try:
        Replica(model, Ranks(ranks.rank, 2, "local"), torch.optim.SGD(model.parameters(), lr=1))
    except ValueError as error:
        found["refused"] = str(error)
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_processes(gradients, tmp_path_factory.mktemp("ranks"))


def test_gradient_and_loss_are_those_of_the_joint_batch(results: list[dict[str, Any]]) -> None:
    model = Model()
    loss = closure_of(model, SAMPLES)()
    for found in results:
        assert found["layout"]
        assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-14)
        assert found["kept by the loss"] == loss.element_size()  # not all gradients
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                assert found[name] is None
            else:
                expected = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
                tolerance = 1e-14 if parameter.dtype == DOUBLE else 1e-6
                dense = found[name].to_dense() if found[name].is_sparse else found[name]
                torch.testing.assert_close(dense, expected, rtol=tolerance, atol=tolerance)


def test_all_processes_have_the_same_bits(results: list[dict[str, Any]]) -> None:
    for name, _ in Model().named_parameters():
        first, second = (found[name] for found in results)
        assert first is second is None or torch.equal(first.to_dense(), second.to_dense())


def test_a_pass_on_its_own(results: list[dict[str, Any]]) -> None:
    model, losses = Model(), []
    for found, own in zip(results, (SAMPLES[:SPLIT], SAMPLES[SPLIT:]), strict=True):
        closure_of(model, own)()
        assert torch.equal(found["own"], model.layer.weight.grad)
        losses.append(found["own loss"].item())
    assert math.fsum(losses) / 2 == pytest.approx(results[0]["loss"].item(), rel=1e-14)


def test_statistics_are_averaged(results: list[dict[str, Any]]) -> None:
    for found in results:
        mean, count = found["statistics"]
        assert mean.tolist() == [0.5] * 4
        assert count.item() == 0


def test_a_local_ascent_needs_an_optimizer_that_climbs_along_its_own_gradient(results: list[dict[str, Any]]) -> None:
    assert all("expected a sharpness-aware optimizer for ascent 'local', found SGD" in r["refused"] for r in results)
    layer, local = nn.Linear(2, 2), Ranks(0, 2, "local")
    for made in (
        FGSAM(layer.parameters(), torch.optim.SGD, lr=1),
        LookSAM(layer.parameters(), torch.optim.SGD, lr=1, k=2),
        AESAM(layer.parameters(), torch.optim.SGD, lr=1, total_steps=3),
    ):
        with pytest.raises(ValueError, match="descends, or decides, by the ascent gradient"):
            Replica(layer, local, made)
    space = Lorentz()
    points = [ManifoldParameter(space.random_normal(3, 4), manifold=space)]
    with pytest.raises(ValueError, match="or transport=False: each process would carry"):
        Replica(layer, local, LorentzSAM(points, RiemannianAdam, lr=1))
    Replica(layer, local, LorentzSAM(points, RiemannianAdam, lr=1, transport=False))
    optimizer = SAM(layer.parameters(), torch.optim.SGD, lr=1)
    replica = Replica(layer, local, optimizer)
    assert (optimizer.ascent_scope, optimizer.module) == ("local", replica)


def test_one_process_keeps_its_closure() -> None:
    layer = nn.Linear(2, 2)
    closure = closure_of(Model(), SAMPLES)
    assert Replica(layer, ALONE, torch.optim.SGD(layer.parameters(), lr=1)).closure(closure, 1.0) is closure
