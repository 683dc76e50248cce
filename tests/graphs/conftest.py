from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


@dataclass
class Graph:
    """A directed graph with all that goes wrong: isolated and source-only nodes, loops, repeats, weights."""

    edge_index: Tensor
    edge_weight: Tensor
    x: Tensor
    seeds: Tensor

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]


def messy_graph(seed: int, num_nodes: int = 40, num_features: int = 6) -> Graph:
    generator = torch.Generator().manual_seed(seed)
    # the last 4 nodes are isolated, the 3 before them are never targets
    edges = torch.stack(
        [
            torch.randint(0, num_nodes - 4, (2 * num_nodes,), generator=generator),
            torch.randint(0, num_nodes - 7, (2 * num_nodes,), generator=generator),
        ]
    )
    loops = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 2]])
    edges = torch.cat([edges, edges[:, :10], loops, edges.flip(0)[:, 12:13]], dim=1)
    edges = edges[:, torch.randperm(edges.shape[1], generator=generator)]
    weight = 0.1 + torch.rand(edges.shape[1], generator=generator, dtype=torch.float64)
    x = torch.randn(num_nodes, num_features, generator=generator, dtype=torch.float64)
    x[x < 0] = 0.0
    # repeats, loops, an isolated node, a source-only node
    seeds = torch.tensor([5, 2, num_nodes - 1, 0, 5, num_nodes - 5, 17, 2])
    return Graph(edges, weight, x, seeds)


@pytest.fixture(params=[0, 1])
def graph(request: pytest.FixtureRequest) -> Graph:
    return messy_graph(request.param)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


@pytest.fixture(scope="session")
def photo() -> tuple[Tensor, object]:
    """Edges and scipy features of Amazon Photo (N = 7,650)."""
    import scipy.sparse as sp

    root = os.environ.get("GSAM_DATA")
    path = Path(root or ".") / "Amazon/Photo/raw/amazon_electronics_photo.npz"
    if root is None or not path.exists():
        pytest.skip("set GSAM_DATA to a folder with Amazon/Photo/raw/amazon_electronics_photo.npz")
    with np.load(path, allow_pickle=False) as raw:
        adjacency = sp.csr_array((raw["adj_data"], raw["adj_indices"], raw["adj_indptr"]), shape=raw["adj_shape"])
        features = sp.csr_array((raw["attr_data"], raw["attr_indices"], raw["attr_indptr"]), shape=raw["attr_shape"])
    return torch.from_numpy(np.stack(adjacency.tocoo().coords)).long(), features


def _relative_error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


@pytest.fixture
def assert_same_result():
    """Compares rows of outputs, and the gradients of a random function of them for all parameters and inputs."""

    def check(found: Tensor, expected: Tensor, leaves: list[Tensor], tolerance: float) -> None:
        assert found.shape == expected.shape
        assert _relative_error(found, expected) <= tolerance
        direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        direction = direction.to(expected)
        grads = torch.autograd.grad((found * direction).sum(), leaves, allow_unused=True)
        references = torch.autograd.grad((expected * direction).sum(), leaves, allow_unused=True)
        for grad, reference in zip(grads, references, strict=True):
            assert (grad is None) == (reference is None)
            if grad is not None and reference is not None:
                assert (grad - reference).abs().max() <= tolerance * reference.abs().max().clamp(min=1.0)

    return check
