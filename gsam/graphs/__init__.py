"""Exact k-hop computation blocks, propagated features and sparse features: what makes an episode cheap."""

from __future__ import annotations

from gsam.graphs.sparse import SparseRows

__all__ = ["SparseRows"]
