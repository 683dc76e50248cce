"""TENT as one writes it with PyTorch Geometric alone: dense features, the whole graph in every pass, class by class.

The reference that the fast episodes are compared with, in losses and in time.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

from gsam.datasets import NodeDataset
from gsam.fewshot import TENT, Episode
from gsam.graphs import Adjacency


class PlainTENT(nn.Module):
    """A convolution on the whole graph, then one on it with adapted weights, and a class node for each class.

    Args:
        dataset: its features are kept dense, its edges with the weights of D^-1 (A + I).
        method: the library's method, whose weights and options it takes.
    """

    def __init__(self, dataset: NodeDataset, method: TENT) -> None:
        super().__init__()
        normalised = Adjacency.from_edges(
            dataset.edge_index, dataset.num_nodes, dataset.edge_weight, normalization="rw", dtype=torch.float32
        )
        self.edge_index, self.edge_weight = normalised.edge_index, normalised.edge_weight
        self.x, self.degree = dataset.features.in_memory().to_dense(), normalised.degree
        self.dropout, self.temperature = method.dropout, method.temperature
        hidden = method.hidden
        self.first, self.second = (GCNConv(size, hidden, normalize=False) for size in (dataset.num_features, hidden))
        self.generator, self.head = copy.deepcopy(method.generator), copy.deepcopy(method.head)
        with torch.no_grad():
            for layer, weight, bias in (
                (self.first, method.weight1, method.bias1),
                (self.second, method.weight2, method.bias2),
            ):
                layer.lin.weight.copy_(weight.T)
                layer.bias.copy_(bias)

    def adapted(self, mean: Tensor) -> Tensor:
        """The second convolution for a class: weight and, in the last row, bias."""
        layer = torch.cat([self.second.lin.weight.T, self.second.bias.unsqueeze(0)])
        scale, shift = self.generator(mean).view(2, *layer.shape)
        out: Tensor = layer * (1 + scale) + shift
        return out

    def loss(self, episode: Episode) -> Tensor:
        """InfoNCE of the queries with the class nodes, and cross entropy of the head over the nodes of one episode."""
        hidden = F.relu(self.first(self.x, self.edge_index, self.edge_weight))
        hidden = F.dropout(hidden, self.dropout, self.training)
        around = self.second.propagate(self.edge_index, x=hidden, edge_weight=self.edge_weight)
        centres, layers = [], []
        for support in episode.support:
            mean = hidden[support].mean(0)
            share = 1 / (self.degree[support].unsqueeze(1) + 2)
            mixed = (1 - share) * around[support] + share * mean
            layers.append(self.adapted(mean))
            centres.append(torch.cat([mixed, mean.unsqueeze(0)]).mean(0) @ layers[-1][:-1] + layers[-1][-1])
        task = torch.stack(layers).mean(0)
        embedding = around @ task[:-1] + task[-1]
        queries = embedding[episode.query.reshape(-1)]
        cosine = F.cosine_similarity(queries.unsqueeze(1), torch.stack(centres), dim=2)
        classes = torch.cat([episode.classes[episode.support_targets], episode.classes[episode.targets]])
        scores = self.head(embedding[episode.nodes])
        return F.cross_entropy(cosine / self.temperature, episode.targets) + F.cross_entropy(scores, classes)


def plain_tent(method: TENT, dataset: NodeDataset) -> PlainTENT:
    """The plain version of a method: ``loss(episode)`` equals ``method.loss`` up to rounding."""
    return PlainTENT(dataset, method)
