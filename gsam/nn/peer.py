"""PeerMLP: a graph network without its graph, on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import gsam.nn.peers_attention
import gsam.nn.peers_spatial
import gsam.nn.peers_spectral  # noqa: F401  (these three fill the registry)
from gsam.nn.peer_registry import require_rules
from gsam.nn.self_loops import self_loops
from gsam.nn.shadow import shadow

Call = Callable[..., Any]  # call(model, x, loops, *args, **kwargs) -> what the model returns


class PeerMLP(nn.Module):
    r"""The MLP that shares all parameters with a PyG model, evaluated on just the rows it is given.

    A GNN on the graph that has only self-loops is an MLP: no row sees another one. ``PeerMLP(gnn)(x)`` equals
    ``gnn(x, loops)`` with ``loops = [[0..B-1], [0..B-1]]`` - outputs, gradients and random numbers drawn - but each
    convolution is computed directly (for most layers, a matrix product). It is the second model of FGSAM (Luo et al.,
    *Fast Graph Sharpness-Aware Minimization*, 2024).

    - The model's own ``forward`` runs, with everything between the convolutions (dropout, norms, residual
      connections, jumping knowledge) and its hooks; modes, dtype, device and dropout rates are the GNN's at the time of
      the call. ``peer.gnn`` is the GNN; its parameters are the peer's, in the same order.
    - Running statistics belong to the GNN's passes: the peer works on copies of all buffers, so none changes. In
      training mode batch norm normalises by the batch, as ever. (A very large buffer costs its copy at each call.)
    - Edge weights are ignored, a self-loop weighs 1; edge features are an error. What a layer cached of the graph
      (``cached=True``) is neither read nor written.
    - ``state_dict``: held beside its GNN in another module, the peer adds no entries; alone, it has those of the GNN,
      as ``gnn.*``. Both load strictly. It survives ``copy.deepcopy`` and pickling, together with the GNN.

    Only layers derived from PyG's ``MessagePassing`` are replaced. Whatever else mixes rows (pooling, ``GraphNorm``,
    ``DiffGroupNorm``, global attention) runs as it is, on the B rows.

    Args:
        gnn: any module called as ``gnn(x, edge_index, ...)``.
        call: for other signatures, a function ``call(model, x, loops, ...)`` that runs the model on rows ``x`` [B, F]
            and edges ``loops`` [2, B], for example ``lambda model, x, loops: model(Data(x=x, edge_index=loops))``.

    Raises:
        UnknownLayerError: a convolution has no peer; the message names it and shows how to register one.
        TypeError: ``gnn`` is not a module, or a part of it is compiled by ``torch.jit.script``.

    Example::

        gnn = torch_geometric.nn.GCN(1433, 16, num_layers=2, out_channels=7)
        peer = PeerMLP(gnn)
        loss = F.cross_entropy(peer(x[rows]), y[rows])  # no graph; gradients reach the weights of gnn
    """

    def __init__(self, gnn: nn.Module, *, call: Call | None = None) -> None:
        super().__init__()
        if not isinstance(gnn, nn.Module):
            raise TypeError(f"PeerMLP expected a torch.nn.Module, found {type(gnn).__name__}")
        require_rules(gnn)
        self.gnn = gnn
        self.call = call

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the model without its graph.

        Args:
            x: the rows, [B, F] (dense, or sparse if the model's first operation is a linear map), or [B] indices for a
                model that begins with an embedding.
            *args: passed on after ``x`` and the edge index, as are ``**kwargs``.
            **kwargs: see ``*args``.

        Returns:
            What the model returns, for B isolated nodes.

        Raises:
            TypeError: ``x`` is not a tensor, or a layer gets a pair of tensors.
            ValueError: ``x`` has another number of dimensions, or a layer gets edge features.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"PeerMLP expected a tensor x [B, F], found {type(x).__name__}")
        if x.dim() not in (1, 2):
            raise ValueError(f"PeerMLP expected rows x [B, F], found shape {list(x.shape)}")
        model, loops = shadow(self.gnn), self_loops(x.size(0), x.device)
        if self.call is not None:
            return self.call(model, x, loops, *args, **kwargs)
        return model(x, loops, *args, **kwargs)

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """The GNN's entries as ``gnn.*``, less those whose storage ``destination`` already holds."""
        own = super().state_dict(*args, prefix=prefix, keep_vars=keep_vars)
        if destination is None:
            return own
        held = {_address(value) for value in destination.values()} - {None}
        destination.update({name: value for name, value in own.items() if _address(value) not in held})
        return destination

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # Inside another module the entries may be left out, see state_dict: then the GNN's own values, maybe just
        # loaded under its own name, are what they say. Root level always has them, and stays strict.
        if prefix:
            for name, value in self.gnn.state_dict(keep_vars=True).items():
                state_dict.setdefault(f"{prefix}gnn.{name}", value)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _address(value: object) -> tuple[int, tuple[int, ...]] | None:
    known = isinstance(value, Tensor) and value.data_ptr() != 0
    return (value.data_ptr(), tuple(value.shape)) if known else None  # type: ignore[attr-defined]
