"""From embeddings to scores: prototypes and distances."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def prototypes(support: Tensor, weights: Tensor | None = None) -> Tensor:
    """Class prototypes ``[n_way, d]`` from supports ``[n_way, k_shot, d]``.

    Args:
        support: embeddings of the supports.
        weights: ``[n_way, k_shot]`` non-negative, summing to 1 over the shots; ``None`` takes the mean.
    """
    return support.mean(1) if weights is None else torch.bmm(weights.unsqueeze(1), support).squeeze(1)


def squared_distance_logits(queries: Tensor, centres: Tensor) -> Tensor:
    r""":math:`-\|q - p\|_2^2 + \|q\|_2^2` for queries ``[Q, d]`` and prototypes ``[n_way, d]``: ``[Q, n_way]``.

    The squared norm of the query is the same for all classes and changes neither the softmax nor the ranking, so it is
    left out, which saves a fifth of an episode's small operations.
    """
    return torch.addmm(-centres.square().sum(1), queries, centres.T, alpha=2.0)


def cosine_logits(queries: Tensor, centres: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Cosine of queries ``[Q, d]`` and prototypes ``[n_way, d]`` times ``scale``: ``[Q, n_way]``."""
    return scale * (F.normalize(queries, dim=1) @ F.normalize(centres, dim=1).T)


def centrality_weights(scores: Tensor, log_degree: Tensor) -> Tensor:
    r"""Support weights of GPN: softmax over the shots of :math:`\sigma(\log(\mathrm{degree}) \cdot s)`.

    Args:
        scores: ``[n_way, k_shot]`` learned scores :math:`s`.
        log_degree: ``[n_way, k_shot]`` logarithms of the node degrees, clamped at degree 1 so that an isolated node has
            0 rather than :math:`-\infty`.
    """
    return torch.softmax(torch.sigmoid(log_degree * scores), dim=1)
