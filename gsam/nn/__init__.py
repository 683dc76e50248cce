"""Graph layers and :class:`PeerMLP`, the graph-free twin of any PyG model."""

from __future__ import annotations

from gsam.nn.peer import PeerMLP
from gsam.nn.peer_registry import UnknownLayerError, register_peer
from gsam.nn.self_loops import self_loop_peer

__all__ = ["PeerMLP", "UnknownLayerError", "register_peer", "self_loop_peer"]
