from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gsam.datasets import NodeDataset
from gsam.fewshot import PreparedGraph
from tests.fewshot.toy import toy_dataset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and on a busy machine it takes long to wait for one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data() -> NodeDataset:
    return toy_dataset()


@pytest.fixture
def graph(data: NodeDataset) -> PreparedGraph:
    return PreparedGraph.prepare(data)
