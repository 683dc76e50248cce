"""Riemannian SAM on a model of one's own: points of a Poincare ball and an MLP, trained together.

It says whether one mammal of WordNet is above another one; three seeds, test triples beside as many wrong pairs.
"""

from __future__ import annotations

from functools import partial

import geoopt
import torch
from torch import Tensor, nn

from gsam.datasets import load_knowledge_graph
from gsam.fewshot import mean_ci95
from gsam.optim import RiemannianAdam, RiemannianSAM


class Above(nn.Module):
    """Whether t is above h: an MLP on both points, seen from the origin, and their distance."""

    def __init__(self, count: int, dim: int = 8) -> None:
        super().__init__()
        self.ball = geoopt.PoincareBall(c=1.0)
        self.points = geoopt.ManifoldParameter(self.ball.expmap0(0.1 * torch.randn(count, dim)), manifold=self.ball)
        self.mlp = nn.Sequential(nn.Linear(2 * dim + 1, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, h: Tensor, t: Tensor) -> Tensor:
        """Logits [B]."""
        x, y = self.points[h], self.points[t]
        seen = [self.ball.logmap0(x), self.ball.logmap0(y), self.ball.dist(x, y, keepdim=True)]
        return self.mlp(torch.cat(seen, -1)).squeeze(-1)

    def loss(self, h: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """Binary cross entropy, and its gradient."""
        self.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(self(h, t), label.float())
        loss.backward()
        return loss


def pairs(triples: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """True pairs and as many with a random upper end, with their labels."""
    h, t = triples[:, 0].repeat(2), torch.cat([triples[:, 2], torch.randint(count, (len(triples),))])
    return h, t, torch.arange(len(h)) < len(triples)


graph = load_knowledge_graph("wordnet-mammals")
for name, rho in (("Riemannian Adam", None), ("Riemannian SAM", 0.2)):
    accuracies = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = Above(graph.num_entities)
        base = RiemannianAdam(model.parameters(), lr=2e-2)
        optimizer = base if rho is None else RiemannianSAM(model.parameters(), base, rho=rho)
        for _ in range(60):
            optimizer.step(partial(model.loss, *pairs(graph.train, graph.num_entities)))
        h, t, label = pairs(graph.test, graph.num_entities)
        accuracies.append(100 * float(((model(h, t) > 0) == label).float().mean()))
    print("{:<16} {:.1f} +- {:.1f} %".format(name, *mean_ci95(accuracies)))
