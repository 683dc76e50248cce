"""Exact k-hop computation blocks, propagated features and sparse features: what makes an episode cheap."""

from __future__ import annotations

from gsam.graphs.adjacency import Adjacency
from gsam.graphs.blocks import Block, EdgeScheme
from gsam.graphs.convolve import convolve
from gsam.graphs.mapped import MappedRows
from gsam.graphs.sparse import SparseRows
from gsam.graphs.subgraph import Subgraph

__all__ = ["Adjacency", "Block", "EdgeScheme", "MappedRows", "SparseRows", "Subgraph", "convolve"]
