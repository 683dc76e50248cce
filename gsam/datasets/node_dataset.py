"""The one container every loader returns."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsam.graphs import MappedRows, SparseRows

if TYPE_CHECKING:
    from torch_geometric.data import Data

Masks = Tensor | None
ClassSplits = Mapping[str, Mapping[str, tuple[int, ...]]]


@dataclass(frozen=True, eq=False, repr=False)
class NodeDataset:
    """A graph with sparse node features and one class per node. Plain data: nothing is computed on construction.

    Attributes:
        name: Name of the data set.
        edge_index: int64 [2, E], row 0 source, row 1 target, as in PyG.
        features: N x F sparse rows, float32; mapped rows where they stay in their file.
        labels: int64 [N], in 0..C-1, or -1 for a node without a label.
        class_names: C names.
        class_splits: Published class splits: name -> ``{"train": (...), "valid": (...), "test": (...)}``.
        train_mask: bool [N, S] of S published node splits, or None.
        val_mask: bool [N, S] or None.
        test_mask: bool [N, S] or None.
        edge_weight: float32 [E], at least 0, or None for a graph without weights.
        node_names: N names, or empty.
        feature_names: F names, or empty.
    """

    name: str
    edge_index: Tensor
    features: SparseRows | MappedRows
    labels: Tensor
    class_names: tuple[str, ...]
    class_splits: ClassSplits = field(default_factory=dict)
    train_mask: Masks = None
    val_mask: Masks = None
    test_mask: Masks = None
    edge_weight: Tensor | None = None
    node_names: Sequence[str] = ()
    feature_names: Sequence[str] = ()

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.features.shape[0])

    @property
    def num_edges(self) -> int:
        """E, directed edges: an undirected edge counts twice."""
        return int(self.edge_index.shape[1])

    @property
    def num_features(self) -> int:
        """F."""
        return int(self.features.shape[1])

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    def validate(self) -> NodeDataset:
        """Return ``self`` if the data can be trained on.

        Raises:
            DatasetError: Wrong shapes or types, an empty graph, NaN or infinite features, labels out of range, an edge
                to a missing node, NaN or negative weights; one line that names the first offender.
        """
        from gsam.datasets.checks import check_dataset

        check_dataset(self)
        return self

    def to_pyg(self, *, dense: bool = False) -> Data:
        """Return a PyG ``Data`` with ``x``, ``edge_index``, ``y`` and the masks and weights there are.

        Args:
            dense: ``x`` as a dense [N, F] tensor; otherwise a torch sparse CSR tensor.
        """
        from torch_geometric.data import Data

        present = {
            name: value
            for name in ("train_mask", "val_mask", "test_mask", "edge_weight")
            if (value := getattr(self, name)) is not None
        }
        rows = self.features.in_memory()
        x = rows.to_dense() if dense else _csr_tensor(rows)
        return Data(x=x, edge_index=self.edge_index, y=self.labels, num_nodes=self.num_nodes, **present)

    def __repr__(self) -> str:
        return (
            f"NodeDataset({self.name!r}: {self.num_nodes:,} nodes, {self.num_edges:,} edges, "
            f"{self.num_features:,} features, {self.num_classes} classes)"
        )


def _csr_tensor(rows: SparseRows) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rows.rowptr, rows.col, rows.value, size=rows.shape, check_invariants=True)
