"""Embeddings of a graph at several depths and with several weights of the neighbours, made without any label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gsam.fewshot.row_products import RowProducts
from gsam.graphs import Adjacency, MappedRows, SparseRows

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset


class Propagation(NamedTuple):
    r"""How features are propagated.

    Attributes:
        exponent: :math:`\beta`, a neighbour counts in proportion to its degree to this power: -0.5 is the random-walk
            form of the GCN's weights, 0 the plain mean, 0.5 favours hubs.
        hops: K, how deep.
    """

    exponent: float
    hops: int


#: what is chosen among, on validation classes
PROPAGATIONS = tuple(Propagation(beta, hops) for beta in (-0.5, 0.0, 0.5) for hops in (2, 4, 8, 12))


@dataclass(frozen=True, eq=False)
class PropagatedFeatures:
    r"""One embedding of all nodes for each :class:`Propagation`.

    With :math:`X_0` the tf-idf features in the basis of a truncated SVD and
    :math:`P_\beta = D_\beta^{-1}(A + I)\,\mathrm{diag}(\mathrm{degree}^\beta)` (rows sum to 1), it is

    .. math::
        Z_{\beta, K} = \mathrm{centre}\left(\sum_{k=0}^{K} \frac{P_\beta^k X_0}{\|P_\beta^k X_0\|}\right)

    row by row; ``centre`` scales rows to length 1, subtracts their mean and scales again. The sum over depths is that
    of S2GC (Zhu and Koniusz, *Simple Spectral Graph Convolution*, ICLR 2021). Nothing is trained.

    Attributes:
        bank: for each propagation the embedding ``[N, dim]`` in half precision, to save memory.
    """

    bank: dict[Propagation, Tensor]

    @classmethod
    def of(
        cls, dataset: NodeDataset, *, dim: int = 128, propagations: Sequence[Propagation] = PROPAGATIONS
    ) -> PropagatedFeatures:
        """Compute them.

        Args:
            dataset: the graph.
            dim: columns, lowered to ``min(N, F)`` if that is less.
            propagations: which.
        """
        adjacency = Adjacency.from_edges(dataset.edge_index, dataset.num_nodes, dataset.edge_weight, normalization="rw")
        matrix = adjacency.matrix.to("cpu", torch.float32).view.copy()
        matrix.sum_duplicates()  # a neighbour joined by several edges is one neighbour
        start = feature_scores(dataset.features, matrix, dim=dim)
        found: dict[Propagation, Tensor] = {}
        for beta in sorted({p.exponent for p in propagations}):
            depths = {p.hops for p in propagations if p.exponent == beta}
            for hops, total in enumerate(_sums(_reweighted(matrix, beta), start, max(depths))):
                if hops in depths:
                    found[Propagation(beta, hops)] = centred(total).half()
        return cls({p: found[p] for p in propagations})

    def rows(self, propagation: Propagation, nodes: Tensor) -> Tensor:
        """The embeddings of some nodes: ``[*, dim]`` in float32."""
        return self.bank[propagation][nodes.cpu()].float()


_COMPUTED: WeakKeyDictionary[NodeDataset, PropagatedFeatures] = WeakKeyDictionary()


def propagated_features(dataset: NodeDataset) -> PropagatedFeatures:
    """:meth:`PropagatedFeatures.of` a data set, computed once for as long as the data set is in use."""
    if dataset not in _COMPUTED:
        _COMPUTED[dataset] = PropagatedFeatures.of(dataset)
    return _COMPUTED[dataset]


def feature_scores(features: SparseRows | MappedRows, matrix: Any, *, dim: int = 128) -> Tensor:
    r"""The tf-idf features in a basis of ``dim`` columns: ``[N, dim]``.

    A feature that occurs in :math:`n_f` of the N nodes weighs :math:`1 + \log\frac{1 + N}{1 + n_f}`, and rows are
    scaled to length 1. The basis are the right singular vectors of the features propagated twice, so that what survives
    propagation is kept.

    Args:
        features: ``[N, F]``.
        matrix: the propagation matrix, a scipy sparse array.
        dim: columns, lowered to ``min(N, F)`` if that is less.
    """
    rows = _tf_idf(features)
    return torch.from_numpy(rows @ _feature_basis(rows, matrix, dim=min(dim, *rows.shape)))


def _feature_basis(rows: RowProducts, matrix: Any, *, dim: int, iterations: int = 4, seed: int = 0) -> np.ndarray:
    """Orthonormal basis ``[F, dim]`` of the leading right singular space of ``matrix @ matrix @ rows``.

    Subspace iteration on the side of the features, which are far fewer than the nodes; ten more columns than asked for
    are carried along, so that the last ones asked for converge too.
    """
    matrix_t = matrix.T.tocsr()
    width = min(dim + 10, rows.shape[1])
    basis = np.random.default_rng(seed).standard_normal((rows.shape[1], width)).astype(np.float32)
    for _ in range(iterations):
        basis, _ = np.linalg.qr(basis)
        basis = rows.adjoint(matrix_t @ (matrix_t @ (matrix @ (matrix @ (rows @ basis)))))
    basis, _, _ = np.linalg.svd(basis, full_matrices=False)
    return np.ascontiguousarray(basis[:, :dim])


def centred(rows: Tensor) -> Tensor:
    """Rows scaled to length 1, less their mean, scaled again: ``[N, dim]``; a row of zeros stays as it is."""
    unit = F.normalize(rows, dim=1)
    some = (unit != 0).any(1, keepdim=True)
    mean = unit.sum(0) / some.sum().clamp(min=1)
    return F.normalize(torch.where(some, unit - mean, unit), dim=1)


def _tf_idf(features: SparseRows | MappedRows) -> RowProducts:
    import scipy.sparse as sp

    counts = np.zeros(features.shape[1], dtype=np.int64)
    plain = RowProducts(features, _of_ordinary_size)
    for rows in plain.chunks():
        counts += np.bincount(rows.indices[rows.data != 0], minlength=counts.size)
    weights = 1 + np.log((1 + features.shape[0]) / (1 + counts))
    scale = sp.diags_array(weights.astype(np.float32))

    def weighted(chunk: SparseRows) -> Any:
        rows = _of_ordinary_size(chunk) @ scale
        lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
        return sp.csr_array(sp.diags_array(1 / np.where(lengths > 0, lengths, 1).astype(np.float32)) @ rows)

    return RowProducts(features, weighted)


def _of_ordinary_size(chunk: SparseRows) -> Any:
    """Each row times a power of two, which changes no digit, so that the squares of large numbers do not overflow."""
    import scipy.sparse as sp

    rows = sp.csr_array(chunk.to_scipy(), dtype=np.float32)
    _, exponents = np.frexp(abs(rows).max(axis=1).toarray().ravel())
    value = np.ldexp(rows.data, -np.repeat(exponents, np.diff(rows.indptr)))
    return type(rows)((value, rows.indices, rows.indptr), shape=rows.shape)


def _reweighted(matrix: Any, beta: float) -> Any:
    """Neighbours weighted by a power of their degree, rows summing to 1."""
    import scipy.sparse as sp

    degree = np.diff(matrix.indptr).astype(np.float32)
    weighted = sp.csr_array(matrix @ sp.diags_array(degree**beta))
    return sp.csr_array(sp.diags_array(1 / weighted.sum(axis=1)) @ weighted)


def _sums(matrix: Any, start: Tensor, hops: int) -> Iterator[Tensor]:
    """The running sum of normalised rows at depth 0, 1, ..., ``hops``."""
    rows, total = start, F.normalize(start, dim=1)
    yield total
    for _ in range(hops):
        rows = torch.from_numpy(matrix @ rows.numpy())
        total = total + F.normalize(rows, dim=1)
        yield total
