"""TLP: a self-supervised embedding of the whole graph, then a linear probe per episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gsam.fewshot.baselines import LinearProbe
from gsam.graphs import Adjacency, SparseRows
from gsam.optim.recipes import Recipe, recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from gsam.datasets import NodeDataset


def cca_loss(first: Tensor, second: Tensor, decorrelation: float) -> Tensor:
    r"""The loss of CCA-SSG on two embeddings ``[N, d]`` of the same nodes.

    Each column is first shifted to mean 0 and scaled to variance :math:`1/N`, which gives :math:`Z_1, Z_2` and

    .. math::
        -\mathrm{tr}(Z_1^\top Z_2) + \beta\,\bigl(\|Z_1^\top Z_1 - I\|_F^2 + \|Z_2^\top Z_2 - I\|_F^2\bigr):

    the views agree and their columns are uncorrelated. No pair of nodes is compared, so the cost is linear in N.

    Args:
        first: the nodes in one view.
        second: the nodes in the other.
        decorrelation: :math:`\beta`, at least 0.
    """
    one, two = _standardised(first), _standardised(second)
    identity = torch.eye(first.shape[1], dtype=first.dtype, device=first.device)
    correlated = sum((z.T @ z - identity).square().sum() for z in (one, two))
    return decorrelation * correlated - (one * two).sum()


def _standardised(rows: Tensor) -> Tensor:
    """Columns of mean 0 and length 1; a constant column becomes zeros."""
    centred = rows - rows.mean(0)
    return F.normalize(centred, dim=0)


@dataclass(frozen=True)
class View:
    """A graph as a method sees it once: with fewer edges, and some features hidden.

    Attributes:
        adjacency: of the kept edges, normalised anew.
        kept_features: ``[F, 1]``, 1 for a feature that is seen, else 0; ``None`` shows all.
    """

    adjacency: Adjacency
    kept_features: Tensor | None = None


class GraphEncoder(nn.Module):
    r"""A simplified graph convolution on a whole graph with sparse features: :math:`\hat A^2 X W`.

    Args:
        in_features: F.
        width: columns of the result.
        generator: draws the initial weights.
    """

    def __init__(self, in_features: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, width))
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, features: SparseRows, view: View, *, peer: bool = False) -> Tensor:
        """Embed all nodes: ``[N, width]``; the peer does not propagate."""
        weight = self.weight if view.kept_features is None else self.weight * view.kept_features
        mapped = features @ weight
        return mapped if peer else view.adjacency @ (view.adjacency @ mapped)


def random_view(dataset: NodeDataset, drop_edges: float, drop_features: float, generator: torch.Generator) -> View:
    """Drop each directed edge and each feature, of all nodes at once, with these probabilities."""
    kept = torch.rand(dataset.num_edges, generator=generator) >= drop_edges
    weight = None if dataset.edge_weight is None else dataset.edge_weight[kept]
    adjacency = _gcn(dataset, dataset.edge_index[:, kept], weight)
    seen = torch.rand(dataset.num_features, 1, generator=generator) >= drop_features
    return View(adjacency, seen.to(dataset.features.dtype))


def _gcn(dataset: NodeDataset, edge_index: Tensor, weight: Tensor | None) -> Adjacency:
    dtype = dataset.features.dtype
    return Adjacency.from_edges(edge_index, dataset.num_nodes, weight, normalization="gcn", dtype=dtype)


def self_supervised_embedding(
    dataset: NodeDataset,
    *,
    width: int = 128,
    epochs: int = 15,
    lr: float = 1e-2,
    decorrelation: float = 1e-2,
    drop: tuple[float, float] = (0.3, 0.3),
    optimizer: str = "adam",
    seed: int = 0,
) -> Tensor:
    """Train a GCN without labels on two random views of the whole graph, and embed all nodes with it.

    CCA-SSG (Zhang et al., *From Canonical Correlation Analysis to Self-supervised Graph Neural Networks*, NeurIPS
    2021): one step on :func:`cca_loss` for each epoch, the views being drawn anew. The rows of the features are first
    divided by their sums. Neither labels nor class splits are read. Where we differ: the encoder is linear, as in SGC;
    it is faster than a two-layer GCN and did better on validation classes.

    Args:
        dataset: the graph.
        width: of the encoder and of the result.
        epochs: steps.
        lr: learning rate.
        decorrelation: weight of the second term of the loss.
        drop: probabilities of dropping an edge and a feature, in [0, 1).
        optimizer: one of :data:`gsam.optim.recipes.RECIPES`; the passes of a step see the same two views. The peer of
            the encoder does not propagate.
        seed: decides weights and views; random numbers drawn elsewhere are left alone.

    Returns:
        ``[N, width]``, rows of length 1 (zeros for a row that was zero), on CPU.

    Raises:
        ValueError: a probability is out of range, the optimizer is unknown, or it is one that splits or chooses among
            samples, for which this loss has none.
    """
    if not all(0 <= probability < 1 for probability in drop):
        raise ValueError(f"expected probabilities of dropping in [0, 1), found {drop}")
    chosen, generator = recipe(optimizer), torch.Generator().manual_seed(seed)
    features = dataset.features.in_memory().l1_normalized_rows()
    encoder = GraphEncoder(dataset.num_features, width, generator).to(features.dtype)
    stepper = chosen.build(encoder.parameters(), lr=lr, total_steps=epochs)
    if hasattr(stepper, "reduce"):
        raise ValueError(f"expected an optimizer that takes the loss as a whole, found {optimizer!r}; choose sam")
    for _ in range(epochs):
        views = [random_view(dataset, *drop, generator) for _ in range(2)]
        _step(encoder, features, views, decorrelation, stepper, chosen)
    with torch.no_grad():
        whole = View(_gcn(dataset, dataset.edge_index, dataset.edge_weight))
        return F.normalize(encoder(features, whole), dim=1)


def _step(
    encoder: GraphEncoder,
    features: SparseRows,
    views: list[View],
    decorrelation: float,
    optimizer: torch.optim.Optimizer,
    chosen: Recipe,
) -> None:
    def closure(peer: bool = False) -> Tensor:
        optimizer.zero_grad()
        first, second = (encoder(features, view, peer=peer) for view in views)
        loss = cca_loss(first, second, decorrelation)
        loss.backward()
        return loss.detach()

    chosen.step(optimizer, closure, lambda: closure(peer=True))


class TLP(LinearProbe):
    """Logistic regression on a self-supervised embedding of the whole graph, fitted on the supports of each episode.

    Transductive linear probing (Tan et al., *Transductive Linear Probing: A Novel Framework for Few-Shot Node
    Classification*, LoG 2022). Where we differ: the embedding is not one of the self-supervised methods that its code
    compares (MVGRL, GraphCL, GRACE, MERIT, SUGRL) but CCA-SSG, whose cost is linear in N.

    Args:
        embedding: ``[N, dim]``, from :func:`self_supervised_embedding`.
        inverse_penalty: scikit-learn's ``C``, greater than 0.
    """

    embed: ClassVar[Callable[[NodeDataset], Tensor]] = staticmethod(self_supervised_embedding)
