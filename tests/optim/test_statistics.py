from __future__ import annotations

import gc
import weakref
from contextlib import suppress

import pytest
import torch
from torch import nn

from gsam.optim import held_statistics
from tests.contracts.optimizer_cases import NORMS
from tests.optim.problems import equal


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("norm", NORMS)
def test_training_buffers_stay(norm: str, by_name: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 8).double(), NORMS[norm]().double())
    x = torch.randn(6, 4, dtype=torch.float64)
    model(x)  # so that they are not at their initial values
    before, tensors = [b.clone() for b in model.buffers()], list(model.buffers())
    with held_statistics(model if by_name else None):
        model(x)
        model(2 * x)
        assert not equal(list(model.buffers()), before)
    assert equal(list(model.buffers()), before)
    assert all(now is then for now, then in zip(model.buffers(), tensors, strict=True))
    model(x)
    assert not equal(list(model.buffers()), before)  # held no longer


def test_restored_after_an_error() -> None:
    norm = nn.BatchNorm1d(4)
    with suppress(KeyboardInterrupt), held_statistics():
        norm(torch.randn(6, 4))
        raise KeyboardInterrupt
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()
    norm(torch.randn(6, 4))
    assert norm.num_batches_tracked == 1


def test_changes_through_data_count() -> None:
    """A change through ``.data`` escapes the version counter, but not the copy."""

    class Norm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mean.data.add_(x.mean(0))
            return x

    norm = Norm()
    with held_statistics():
        norm(torch.ones(3, 2))
    assert norm.mean.tolist() == [0.0, 0.0]


def test_modules_in_evaluation_mode_are_left_alone() -> None:
    """They do not change by themselves; what a user writes into them in the block stays."""
    norm = nn.BatchNorm1d(4).eval()
    with held_statistics():
        norm(torch.randn(6, 4))
        norm.running_mean.fill_(3.0)
    assert norm.running_mean.tolist() == [3.0] * 4


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_buffers() -> None:
    """A normalised adjacency kept as a buffer is no obstacle."""

    class Convolution(nn.Module):
        def __init__(self, layout: torch.layout) -> None:
            super().__init__()
            eye = torch.eye(3)
            self.register_buffer("adjacency", eye.to_sparse() if layout == torch.sparse_coo else eye.to_sparse_csr())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.adjacency @ x

    for layout in (torch.sparse_coo, torch.sparse_csr):
        model = Convolution(layout)
        with held_statistics():
            model(torch.ones(3, 2))
        assert torch.equal(model.adjacency.to_dense(), torch.eye(3))


def test_nesting() -> None:
    norm = nn.BatchNorm1d(4)
    with held_statistics():
        norm(torch.randn(6, 4))
        inner = norm.running_mean.clone()
        with held_statistics():
            norm(torch.randn(6, 4))
        assert torch.equal(norm.running_mean, inner)
    assert norm.num_batches_tracked == 0


@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.`")  # of a hook on every module
@pytest.mark.slow
def test_compiled_model() -> None:
    """Its code does not announce its modules' calls; a function's does not announce the model, hence ``module``."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    compiled = torch.compile(model, backend="eager")
    function = torch.compile(lambda x: model(x), backend="eager")
    for run, named in ((compiled, compiled), (compiled, model), (compiled, None), (function, model)):
        run(torch.randn(6, 4))
        before = [b.clone() for b in model.buffers()]
        with held_statistics(named):
            run(torch.randn(6, 4))
        assert equal(list(model.buffers()), before)
    assert model[1].num_batches_tracked == 4


@pytest.mark.parametrize("by_name", [True, False])
def test_nothing_is_left_for_the_garbage_collector(by_name: bool) -> None:
    """A step after the other would keep copies of all buffers, and the model, until it runs."""
    gc.collect()
    gc.disable()
    try:
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
        buffer = weakref.ref(model[1])
        with held_statistics(model if by_name else None):
            model(torch.randn(6, 4))
        del model
        assert buffer() is None
    finally:
        gc.enable()
