"""A small graph with all that goes wrong, and classes that a GNN can tell apart."""

from __future__ import annotations

import torch
from torch import Tensor

from gsam.datasets import NodeDataset
from gsam.fewshot import Episode
from gsam.graphs import SparseRows

CLASSES, PER_CLASS, FEATURES = 9, 14, 24


def toy_dataset(
    *, seed: int = 0, weighted: bool = False, dtype: torch.dtype = torch.float32, edges: bool = True
) -> NodeDataset:
    """Nine classes of 14 nodes; the last three nodes of each class are isolated, one node has no features.

    Directed edges, mostly within classes, some repeated, some self-loops; class ``c`` uses words ``c`` and ``c + 9``.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES * PER_CLASS) % CLASSES
    num_nodes = labels.numel()
    connected = num_nodes - 3 * CLASSES
    source = torch.randint(0, connected, (4 * num_nodes,), generator=generator)
    shift = CLASSES * torch.randint(0, PER_CLASS, source.shape, generator=generator)
    stray = torch.randint(0, connected, source.shape, generator=generator)
    within = torch.rand(source.shape, generator=generator) < 0.7
    edge_index = torch.stack([source, torch.where(within, (source + shift) % connected, stray)])
    loops = torch.tensor([[0, 1, 2, 2], [0, 1, 2, 2]])
    edge_index = torch.cat([edge_index, edge_index[:, :12], loops], dim=1)
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1], generator=generator)]
    weight = 0.1 + torch.rand(edge_index.shape[1], generator=generator, dtype=torch.float64)
    x = (torch.rand(num_nodes, FEATURES, generator=generator, dtype=torch.float64) < 0.15).double()
    x[torch.arange(num_nodes), labels] += 1.0
    x[torch.arange(num_nodes), labels + CLASSES] += 0.5
    x[3] = 0.0
    if not edges:
        edge_index, weight = edge_index[:, :0], weight[:0]
    return NodeDataset(
        name="toy",
        edge_index=edge_index,
        features=SparseRows.from_dense(x.to(dtype)),
        labels=labels,
        class_names=tuple(f"kind {c}" for c in range(CLASSES)),
        class_splits={"published": {"train": (8, 1, 2), "valid": (0, 4, 5), "test": (7, 3, 6)}},
        edge_weight=weight.to(dtype) if weighted else None,
    ).validate()


def toy_episode() -> Episode:
    """Four classes; all supports of the second are isolated, node 3 without features and nodes with loops take part."""
    last = (PER_CLASS - 3) * CLASSES
    support = torch.tensor([[0, 9, 18], [last + 1, last + 10, last + 19], [2, last + 2, 11], [3, 12, 21]])
    query = torch.tensor(
        [[27, 36, 45, last], [1, 10, 19, 28], [20, 29, last + 11, 38], [30, 39, last + 3, 48]],
    )
    return Episode(torch.tensor([0, 1, 2, 3]), support, query)


def dense_adjacency(dataset: NodeDataset) -> Tensor:
    """``A + I`` as a dense float64 matrix, row = target, built edge by edge; a node that has a self-loop keeps it."""
    matrix = torch.zeros(dataset.num_nodes, dataset.num_nodes, dtype=torch.float64)
    loops = torch.ones(dataset.num_nodes, dtype=torch.float64)
    for number, (source, target) in enumerate(dataset.edge_index.T.tolist()):
        weight = 1.0 if dataset.edge_weight is None else float(dataset.edge_weight[number])
        if source == target:
            loops[source] = weight
        else:
            matrix[target, source] += weight
    return matrix + loops.diag()
