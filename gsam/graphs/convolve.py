"""A PyG convolution on a block, equal to the layer on the whole graph."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from torch import Tensor, nn

from gsam.graphs.blocks import Block
from gsam.graphs.sparse import SparseRows

# PyG layers whose output at a node depends on its own row, its in-edges and their sources' rows, and on nothing else
# (not on the degree of a source, nor on a second hop)
# fmt: off
_ONE_HOP = {
    "AGNNConv", "CGConv", "ClusterGCNConv", "EdgeConv", "FeaStConv", "FiLMConv", "GATConv", "GATv2Conv",
    "GENConv", "GINConv", "GINEConv", "GMMConv", "GeneralConv", "GraphConv", "LEConv", "MFConv", "NNConv",
    "PNAConv", "RGCNConv", "ResGatedGraphConv", "SAGEConv", "SimpleConv", "SplineConv", "TransformerConv",
    "WLConvContinuous",
}
# fmt: on
# PyG aggregations that run on over padding, up to the largest degree among all nodes they are given
_PADDING = {"GRUAggregation", "LSTMAggregation"}
# PyG layers that rescale edges by degrees unless normalize=False, and aggregate once
_NORMALIZING = {"GCNConv", "LGConv"}


def convolve(
    conv: nn.Module, x: Tensor | SparseRows, block: Block, *, one_hop: bool = False, **edge_inputs: Any
) -> Tensor:
    """Applies a convolution to a block; rows and gradients equal the layer's on the whole graph.

    - Layers that normalise by degrees (GCNConv, LGConv) get the block's weights, which were normalised on the whole
      graph: the block must come from an adjacency with ``normalization="gcn"`` and the layer's ``add_self_loops``.
    - Other layers get the raw edges: the block must come from an adjacency with ``normalization=None``. Its weights
      are passed on if the user gave some and the layer takes ``edge_weight``. The layer adds its own self-loops.
    - Of a block with ``max_neighbors`` the former make an estimate (:meth:`Adjacency.blocks`); others refuse it.
    - Layers that look further than one hop, or that divide by a source's degree in another way, are refused; so are
      LSTM and GRU aggregations, whose result in PyG depends on the largest degree in the graph.

    The layer itself is never changed. Batch norm inside a layer (in the MLP of a GIN, say) sees the block's rows only.

    Args:
        conv: a PyG layer.
        x: ``[n_src, F]``, one row per node of the block; sparse features only with GCNConv.
        block: where to apply it.
        one_hop: vouches for a layer that is not known here: its output at a node depends only on that node's row, its
            in-edges and their sources' rows. It is called as ``conv(x, edge_index)`` on raw edges.
        edge_inputs: further arguments, one row per edge of the block, such as ``edge_attr=edge_attr[block.edge_id]``.

    Returns:
        ``[T, H]``, the rows of the block's targets.

    Raises:
        ValueError: if the layer would not be exact on such a block, or ``x`` does not have one row per source.
        TypeError: if sparse features meet a layer other than GCNConv.
    """
    block.check_rows(tuple(x.shape))
    names = {cls.__name__ for cls in type(conv).__mro__}
    if getattr(conv, "flow", "source_to_target") != "source_to_target":
        raise ValueError(f"{type(conv).__name__} has flow={conv.flow!r}; blocks hold in-edges: flip the edges instead")
    if names & _NORMALIZING:
        return _normalizing(conv, x, block)
    if not (names & _ONE_HOP or one_hop):
        raise ValueError(_not_one_hop(conv))
    if any(type(module).__name__ in _PADDING for module in conv.modules()):
        raise ValueError(
            f"{type(conv).__name__} has an LSTM or GRU aggregation, which pads to the graph's largest degree"
        )
    if block.scheme.sampled:
        raise ValueError(
            f"{type(conv).__name__} reads the edges of a block as if all were there, found one with only some of "
            "them; take blocks without max_neighbors, or use GCNConv, which takes their weights"
        )
    if not block.scheme.is_raw:
        raise ValueError(_wrong_scheme(conv, block, "None"))
    return _message_passing(conv, _dense(conv, x), block, edge_inputs)


def _normalizing(conv: nn.Module, x: Tensor | SparseRows, block: Block) -> Tensor:
    _check_normalization(conv, block)
    if type(conv).__name__ == "GCNConv" and not (conv._forward_hooks or conv._forward_pre_hooks):
        return _gcn(conv, x, block)
    plain: Any = copy.copy(conv)  # shares parameters, buffers and hooks
    plain.normalize = False
    return _message_passing(plain, _dense(conv, x), block, {"edge_weight": block.weight.to(x.dtype)})


def _check_normalization(conv: Any, block: Block) -> None:
    if not conv.normalize:
        return
    if getattr(conv, "improved", False):
        raise ValueError("GCNConv(improved=True) gives self-loops weight 2, which adjacencies do not; use a subgraph")
    loops = getattr(conv, "add_self_loops", False)
    if block.scheme.normalization != "gcn" or block.scheme.self_loops != loops:
        raise ValueError(_wrong_scheme(conv, block, f"'gcn', self_loops={loops}"))


def _gcn(conv: Any, x: Tensor | SparseRows, block: Block) -> Tensor:
    """What GCNConv computes, without the cost of general message passing."""
    h = x.matmul(conv.lin.weight.t()) if isinstance(x, SparseRows) else conv.lin(x)
    out = block.aggregate(h)
    return out if conv.bias is None else out + conv.bias


def _message_passing(conv: nn.Module, x: Tensor, block: Block, inputs: dict[str, Any]) -> Tensor:
    parameters = inspect.signature(conv.forward).parameters
    if block.scheme.weighted and "edge_weight" in parameters:
        inputs = {"edge_weight": block.weight.to(x.dtype), **inputs}
    takes_pairs = any(word in str(parameters["x"].annotation) for word in ("Tuple", "Pair"))
    takes_pairs = takes_pairs and getattr(conv, "combine_root", None) != "self_loop"
    targets = block.num_targets
    # a pair spares the layer the transformation of sources as if they were targets
    out = conv((x, x[:targets]) if takes_pairs else x, block.edge_index, **inputs)
    return out[:targets]


def _dense(conv: nn.Module, x: Tensor | SparseRows) -> Tensor:
    if isinstance(x, SparseRows):
        raise TypeError(f"sparse features work with GCNConv only, not {type(conv).__name__}; pass x.to_dense()")
    return x


def _not_one_hop(conv: nn.Module) -> str:
    return (
        f"{type(conv).__name__} is not known to be exact on one-hop blocks: it looks further, or divides by degrees "
        "of sources. Run the model on adjacency.subgraph(seeds, hops) instead; or, if its output at a node depends "
        "only on that node, its in-edges and their sources, pass one_hop=True"
    )


def _wrong_scheme(conv: nn.Module, block: Block, expected: str) -> str:
    found = f"normalization={block.scheme.normalization!r}, self_loops={block.scheme.self_loops}"
    return (
        f"{type(conv).__name__} needs blocks with normalization={expected}, found {found}; "
        f"take them from Adjacency.from_edges(..., normalization={expected})"
    )
