"""GPN as one writes it with PyTorch Geometric alone: dense features and the whole graph in every pass.

The reference that the fast episodes are compared with, in losses and in time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

from gsam.datasets import NodeDataset
from gsam.fewshot import GPN, Episode
from gsam.graphs import Adjacency


class TwoLayers(nn.Module):
    """Two graph convolutions whose edges are normalised beforehand."""

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.first = GCNConv(in_features, hidden, normalize=False)
        self.second = GCNConv(hidden, hidden, normalize=False)


class PlainGPN(nn.Module):
    """Two 2-layer GCNs on the whole graph, then prototypes class by class.

    Args:
        dataset: its features are kept dense, its edges with the weights of D^-1 (A + I).
        hidden: width of the layers.
        dropout: between the layers.
    """

    def __init__(self, dataset: NodeDataset, *, hidden: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        normalised = Adjacency.from_edges(dataset.edge_index, dataset.num_nodes, normalization="rw")
        self.edge_index, self.edge_weight = normalised.edge_index, normalised.edge_weight
        self.x, self.degree, self.dropout = dataset.features.in_memory().to_dense(), normalised.degree, dropout
        self.encoder, self.valuator = (TwoLayers(dataset.num_features, hidden) for _ in range(2))
        self.score = nn.Linear(hidden, 1)

    def copy_weights(self, method: GPN) -> PlainGPN:
        """Take the weights of the library's GPN."""
        fast = method.encoder
        for branch, layers in enumerate((self.encoder, self.valuator)):
            first, second = layers.first, layers.second
            with torch.no_grad():
                first.lin.weight.copy_(fast.weight1.chunk(2, dim=1)[branch].T)
                first.bias.copy_(fast.bias1.chunk(2)[branch])
                second.lin.weight.copy_(fast.weight2[branch].T)
                second.bias.copy_(fast.bias2[branch, 0])
        self.score.load_state_dict(method.score.state_dict())
        return self

    def _embed(self, layers: TwoLayers) -> Tensor:
        hidden = F.relu(layers.first(self.x, self.edge_index, self.edge_weight))
        hidden = F.dropout(hidden, self.dropout, self.training)
        out: Tensor = layers.second(hidden, self.edge_index, self.edge_weight)
        return out

    def loss(self, episode: Episode) -> Tensor:
        """Cross entropy of the queries of one episode."""
        embedding, scores = self._embed(self.encoder), self.score(self._embed(self.valuator)).squeeze(1)
        centres = []
        for support in episode.support:
            centrality = self.degree[support].clamp(min=1).float().log() * scores[support]
            weights = torch.softmax(torch.sigmoid(centrality), dim=0)
            centres.append((weights.unsqueeze(1) * embedding[support]).sum(0))
        queries = embedding[episode.query.reshape(-1)]
        distance = (queries.unsqueeze(1) - torch.stack(centres)).square().sum(-1)
        return F.cross_entropy(-distance, episode.targets)
