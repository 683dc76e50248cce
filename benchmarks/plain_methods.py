"""Meta-GNN and AMM-GNN as one writes them with PyTorch Geometric alone: dense features, the whole graph in every pass.

The references that the fast episodes are compared with, in losses and in time.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

from gsam.datasets import NodeDataset
from gsam.fewshot import AMMGNN, Episode, MetaGNN
from gsam.graphs import Adjacency


class PlainGCN(nn.Module):
    """Two graph convolutions on the whole graph; edges are normalised beforehand."""

    def __init__(self, in_features: int, hidden: int, out_features: int, dropout: float) -> None:
        super().__init__()
        self.first = GCNConv(in_features, hidden, normalize=False)
        self.second = GCNConv(hidden, out_features, normalize=False)
        self.dropout = dropout

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Scores of all nodes: ``[N, out_features]``."""
        hidden = F.dropout(F.relu(self.first(x, edge_index, edge_weight)), self.dropout, self.training)
        out: Tensor = self.second(hidden, edge_index, edge_weight)
        return out


class PlainMetaGNN(nn.Module):
    """First-order MAML by ``functional_call`` and ``autograd.grad``; each inner step passes over the whole graph.

    Args:
        dataset: its features are kept dense, its edges with the weights of D^-1/2 (A + I) D^-1/2.
        method: the library's method, whose weights and options it takes.
    """

    def __init__(self, dataset: NodeDataset, method: MetaGNN | AMMGNN) -> None:
        super().__init__()
        graph = Adjacency.from_edges(dataset.edge_index, dataset.num_nodes, normalization="gcn")
        self.edge_index, self.edge_weight = graph.edge_index, graph.edge_weight
        self.x, self.inner, fast = dataset.features.in_memory().to_dense(), method.inner, method.encoder
        hidden = fast.weight1.shape[1]
        self.gcn = PlainGCN(dataset.num_features, hidden, method.n_way, fast.dropout)
        with torch.no_grad():
            self.gcn.first.lin.weight.copy_(fast.weight1.T)
            self.gcn.first.bias.copy_(fast.bias1)
            self.gcn.second.lin.weight.copy_(fast.weight2[0].T)
            self.gcn.second.bias.copy_(fast.bias2[0, 0])

    def scores(self, x: Tensor, episode: Episode) -> Tensor:
        """Scores of the queries after the inner steps: ``[Q, n_way]``."""
        start = dict(self.gcn.named_parameters())
        current = {name: p.detach().requires_grad_() for name, p in start.items()}
        fixed, support = x.detach(), episode.support.reshape(-1)
        for _ in range(self.inner.inner_steps):
            out = functional_call(self.gcn, current, (fixed, self.edge_index, self.edge_weight))
            loss = F.cross_entropy(out[support], episode.support_targets)
            grads = torch.autograd.grad(loss, list(current.values()))
            current = {
                name: (p.detach() - self.inner.inner_lr * g).requires_grad_()
                for (name, p), g in zip(current.items(), grads, strict=True)
            }
        adapted = {name: p + (current[name] - p).detach() for name, p in start.items()}
        out = functional_call(self.gcn, adapted, (x, self.edge_index, self.edge_weight))
        return out[episode.query.reshape(-1)]

    def loss(self, episode: Episode) -> Tensor:
        """Cross entropy of the queries of one episode."""
        return F.cross_entropy(self.scores(self.x, episode), episode.targets)


class PlainAMMGNN(PlainMetaGNN):
    """The same on features that are modulated, all of them, for each task.

    Args:
        dataset: as above.
        method: the library's method without a shift.
    """

    def __init__(self, dataset: NodeDataset, method: AMMGNN) -> None:
        super().__init__(dataset, method)
        self.share, self.agreement = method.share, method.agreement
        self.matcher = copy.deepcopy(method.matcher.layers)

    def alpha(self, nodes: Tensor) -> Tensor:
        """One number a feature from the features of some nodes: ``[F]``."""
        values = self.x[nodes]
        found: Tensor = self.matcher(torch.stack([values.mean(0), values.square().mean(0).sqrt()], dim=1))
        return found.squeeze(1)

    def loss(self, episode: Episode) -> Tensor:
        """Cross entropy of the queries and the agreement of two random sets of supports."""
        support = episode.support.reshape(-1)
        size = math.ceil(self.share * len(support))
        chosen = torch.rand(2, len(support)).topk(size).indices
        first, second = (self.alpha(support[members]) for members in chosen)
        scores = self.scores(self.x * (1 + 0.01 * first), episode)
        return F.cross_entropy(scores, episode.targets) + self.agreement * (first - second).square().mean()
