from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from gsam.kg.clipping import clip_gradients

ROWS = torch.tensor([1, 4, 1, 0])


def gradients(sparse: bool) -> list[nn.Parameter]:
    """A table whose rows are looked up, some of them twice, and a matrix."""
    torch.manual_seed(0)
    table, matrix = nn.Embedding(6, 3, sparse=sparse), nn.Parameter(torch.randn(3, 2))
    (table(ROWS) @ matrix).square().sum().backward()
    return [table.weight, matrix]


def dense(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.to_dense()


@pytest.mark.parametrize("bound", [0.3, 1e6])
@pytest.mark.parametrize("sparse", [False, True])
def test_equals_pytorchs_on_dense_gradients(sparse: bool, bound: float) -> None:
    found, expected = gradients(sparse), gradients(False)
    clip_gradients(found, bound)
    nn.utils.clip_grad_norm_(expected, bound)
    for a, b in zip(found, expected, strict=True):
        assert_close(dense(a), dense(b), rtol=1e-5, atol=1e-7)
    length = math.sqrt(sum(float(dense(p).square().sum()) for p in found))
    assert length == pytest.approx(0.3, rel=1e-6) if bound < 1 else length > 1


def test_parameters_without_gradient_are_left_alone() -> None:
    idle = nn.Parameter(torch.ones(2))
    clip_gradients([idle], 1.0)
    assert idle.grad is None


def test_an_entry_that_is_not_finite_is_not_hidden() -> None:
    found = gradients(True)
    assert found[1].grad is not None
    found[1].grad[0, 0] = math.inf
    clip_gradients(found, 1.0)
    assert dense(found[1])[0, 0].isnan()
