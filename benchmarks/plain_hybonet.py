"""HyboNet as it is usually written: gathered negatives, gathered matrices, geoopt's dense Riemannian Adam."""

from __future__ import annotations

import geoopt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gsam.datasets import KnowledgeGraph
from gsam.kg import HyboNet, with_reciprocals


class PlainHyboNet(nn.Module):
    """The published formulas at curvature 1, one candidate at a time.

    Args:
        model: the library's, whose initial weights are taken over.
    """

    def __init__(self, model: HyboNet) -> None:
        super().__init__()
        points = model.node_emb.weight.detach().clone()
        self.entities = geoopt.ManifoldParameter(points, manifold=geoopt.Lorentz())
        self.transform = nn.Parameter(model.rel_transform.detach().clone())
        self.relation_bias = nn.Parameter(model.rel_bias.weight.detach().clone())
        self.head_bias = nn.Parameter(torch.zeros(model.num_nodes))
        self.tail_bias = nn.Parameter(torch.zeros(model.num_nodes))
        self.margin, self.max_scale, self.max_norm = model.margin, model.max_scale, model.max_norm

    def forward(self, head: Tensor, relation: Tensor, tails: Tensor) -> Tensor:
        """Scores ``[B, k]`` of k candidates for each of B queries."""
        moved = (self.transform[relation] @ self.entities[head].unsqueeze(-1)).squeeze(-1)
        time = moved[:, :1].sigmoid() * self.max_scale + 1.1
        space = moved[:, 1:] + self.relation_bias[relation]
        space = space / (space.square().sum(1, keepdim=True) / (time.square() - 1)).sqrt()
        found = torch.cat([-time, space], 1).unsqueeze(1) * self.entities[tails]
        bias = self.head_bias[head].unsqueeze(1) + self.tail_bias[tails]
        return self.margin + 2 * found.sum(-1) + bias

    @torch.no_grad()
    def constrain(self) -> None:
        """Clip the space part of every entity."""
        space = self.entities[:, 1:]
        space = space * (self.max_norm / space.norm(dim=1, keepdim=True)).clamp(max=1)
        self.entities.copy_(torch.cat([(1 + space.square().sum(1, keepdim=True)).sqrt(), space], 1))

    def copy_to(self, model: HyboNet) -> None:
        """Put the weights into the library's model, for ranking."""
        with torch.no_grad():
            model.node_emb.weight.copy_(self.entities)
            model.rel_transform.copy_(self.transform)
            model.rel_bias.weight.copy_(self.relation_bias)
            model.head_bias.weight.copy_(self.head_bias.unsqueeze(1))
            model.tail_bias.weight.copy_(self.tail_bias.unsqueeze(1))


class PlainTraining:
    """Epochs of binary cross entropy with uniform negatives for each triple, by the published settings.

    Args:
        model: what to train.
        graph: whose training triples and reciprocals.
        negatives: of each triple.
        batch_size: triples in a step.
        lr: of geoopt's Riemannian Adam.
    """

    def __init__(
        self,
        model: PlainHyboNet,
        graph: KnowledgeGraph,
        *,
        negatives: int = 50,
        batch_size: int = 1000,
        lr: float = 5e-3,
    ) -> None:
        self.model, self.negatives, self.batch_size = model, negatives, batch_size
        self.num_entities = graph.num_entities
        self.triples = with_reciprocals(graph.train, graph.num_relations)
        self.optimizer = geoopt.optim.RiemannianAdam(model.parameters(), lr=lr, stabilize=1)

    def epoch(self) -> None:
        """One pass over the triples in a random order."""
        for batch in self.triples[torch.randperm(len(self.triples))].split(self.batch_size):
            head, relation, tail = batch.unbind(1)
            drawn = torch.randint(self.num_entities, (len(batch), self.negatives))
            scores = self.model(head, relation, torch.cat([tail.unsqueeze(1), drawn], 1))
            target = torch.zeros_like(scores)
            target[:, 0] = 1
            loss = F.binary_cross_entropy_with_logits(scores, target)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.model.constrain()
