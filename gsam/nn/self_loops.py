"""The definition of every peer: run the real layer on the graph that has only self-loops."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

_EDGE_DATA = ("edge_attr", "edge_type")


def self_loops(num_rows: int, device: torch.device | None = None) -> Tensor:
    """Edge index [2, B] of the graph in which each of the B rows has one edge, to itself."""
    return torch.arange(num_rows, device=device).expand(2, -1)


def self_loop_peer(conv: nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The slow rule, right for every layer: its own forward on the self-loop graph of the rows ``x`` [B, F].

    An argument named ``edge_index`` is replaced by the self-loops, and ``edge_weight`` is dropped (a self-loop weighs
    1). Neither ``_cached*`` attributes of the layer are read, nor is anything written to the layer.

    Raises:
        ValueError: ``edge_attr`` or ``edge_type`` is given; those of a self-loop are not defined.
    """
    forward = getattr(type(conv), "layer_class", type(conv)).forward
    bound = inspect.signature(forward).bind(conv, x, *args, **kwargs)
    for name in _EDGE_DATA:
        refuse_edge_data(conv, bound.arguments.get(name), name)
    if "edge_index" in bound.arguments:
        bound.arguments["edge_index"] = self_loops(x.size(0), x.device)
    bound.arguments.pop("edge_weight", None)
    return forward(*bound.args, **bound.kwargs)


def refuse_edge_data(conv: nn.Module, value: object, name: str = "edge_attr") -> None:
    """Raise if a layer without a graph is given data of the graph's edges.

    Raises:
        ValueError: ``value`` is not ``None``.
    """
    if value is not None:
        layer = type(conv).__name__
        raise ValueError(
            f"{layer} got {name}, expected none: a peer has no edges, and a self-loop has no {name} of its own. Call "
            f"the peer without {name}, or register_peer({layer}, rule) with a rule that says what it is for a self-loop"
        )
