"""The training-free embedding behind the baselines: propagated features, reduced by a truncated SVD."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gsam.fewshot.row_products import RowProducts
from gsam.graphs import Adjacency, MappedRows, SparseRows


def propagated_embedding(
    features: SparseRows | MappedRows, adjacency: Adjacency, *, hops: int = 2, dim: int = 128, seed: int = 0
) -> Tensor:
    r"""Rows of the rank-``dim`` part of :math:`\hat A^k X`, scaled to length 1.

    The rows of :math:`X` are first divided by their sums. :math:`U \Sigma` of a randomised truncated SVD (Halko,
    Martinsson, Tropp, SIAM Review 2011) is found from products with :math:`\hat A` and :math:`X` alone, so neither
    :math:`\hat A^k X` nor anything else of that size is formed; features that stay in their file are read in chunks.

    Args:
        features: ``[N, F]``.
        adjacency: the GCN-normalised adjacency :math:`\hat A`.
        hops: k, at least 0.
        dim: columns of the result, lowered to ``min(N, F)`` if that is less.
        seed: of the random start; the result hardly depends on it.

    Returns:
        ``[N, dim]`` in the dtype of the features, on CPU; a node with no features within k hops is all zeros.
    """
    columns = features.shape[1]
    forward = RowProducts(features, lambda chunk: chunk.l1_normalized_rows().to_scipy())
    matrix = adjacency.matrix.to("cpu", features.dtype).view
    matrix_t = matrix.T.tocsr()

    def left(block: Tensor) -> Tensor:
        product = forward @ block.numpy()
        for _ in range(hops):
            product = matrix @ product
        return torch.from_numpy(product)

    def right(block: Tensor) -> Tensor:
        product = block.numpy()
        for _ in range(hops):
            product = matrix_t @ product
        return torch.from_numpy(forward.adjoint(product))

    dim = min(dim, *features.shape)
    start = torch.randn(columns, min(dim + 16, columns), generator=torch.Generator().manual_seed(seed))
    found = F.normalize(_scaled_left_vectors(left, right, start, dim), dim=1)
    mass = np.concatenate([abs(chunk).sum(axis=1) for chunk in forward.chunks()])
    for _ in range(hops):
        mass = matrix @ mass
    found[torch.from_numpy(mass == 0)] = 0.0  # rows of rounding noise, which would have been scaled to length 1 too
    return found


def _scaled_left_vectors(
    left: Callable[[Tensor], Tensor], right: Callable[[Tensor], Tensor], start: Tensor, dim: int, iterations: int = 3
) -> Tensor:
    r""":math:`U \Sigma` by subspace iteration, given the products with the matrix and with its transpose."""
    basis = torch.linalg.qr(left(start)).Q
    for _ in range(iterations):
        basis = torch.linalg.qr(left(torch.linalg.qr(right(basis)).Q)).Q
    vectors, values, _ = torch.linalg.svd(right(basis).T, full_matrices=False)
    return basis @ (vectors[:, :dim] * values[:dim])
