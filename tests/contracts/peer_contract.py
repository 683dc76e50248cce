"""What every registered peer must satisfy: its fast path equals the real layer run on the self-loop graph.

A case builds one configuration of one layer. ``check`` runs both paths from the same seed and compares output, input
gradients, parameter gradients (``None`` only where the layer's own is ``None``) and the random numbers consumed. The
peer may not propagate along edges, change a buffer or fill a cache.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP
from gsam.nn.peer_registry import rule_for

ROWS, WIDTH = 7, 6
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-6}


@dataclass(frozen=True)
class Case:
    """One configuration of a layer and how to call it."""

    layer: type[nn.Module]
    build: Callable[[], nn.Module]
    label: str
    with_x0: bool = False  # called as conv(x, x_0, loops)
    slow_kwargs: dict[str, Any] = field(default_factory=dict)  # the real layer asserts that these are given
    kwargs: dict[str, Any] = field(default_factory=dict)  # for both paths

    def __str__(self) -> str:
        return f"{self.layer.__name__}-{self.label}"


def mlp(width: int, out: int) -> nn.Module:
    """The inner network of GIN and EdgeConv, with a norm that keeps running statistics."""
    return nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, out))


def pna(aggregators: list[str], scalers: list[str], **options: Any) -> nn.Module:
    return pyg.PNAConv(WIDTH, 4, aggregators, scalers, torch.tensor([1, 5, 9, 2]), **options)


def cases_of(
    layer: type[nn.Module], *positional: Any, options: list[dict[str, Any]], **case_options: Any
) -> list[Case]:
    """One case per dictionary of constructor options."""
    return [
        Case(layer, lambda o=o: layer(*positional, **o), ",".join(f"{k}={v}" for k, v in o.items()), **case_options)
        for o in options
    ]


EDGE_ONES = {"edge_weight": torch.ones(ROWS)}
ALL_AGGREGATORS = ["mean", "min", "max", "std", "var", "sum", "mul", "median"]
ALL_SCALERS = ["identity", "amplification", "attenuation", "linear", "inverse_linear"]
ATTENTION = [
    {"heads": 3},
    {"heads": 3, "concat": False, "dropout": 0.5},
    {"heads": 2, "residual": True, "dropout": 0.3, "add_self_loops": False},
    {"heads": 2, "residual": True, "bias": False, "edge_dim": 5},
    {"aggr": "mean", "negative_slope": 0.1},
]

CASES: list[Case] = [
    *cases_of(
        pyg.GCNConv,
        WIDTH,
        4,
        options=[
            {},
            {"improved": True},
            {"normalize": False},
            {"add_self_loops": False, "bias": False},
            {"cached": True},
            {"aggr": "max"},
            {"aggr": "std"},
            {"flow": "target_to_source"},
        ],
    ),
    *cases_of(pyg.SGConv, WIDTH, 4, options=[{"K": 3}, {"K": 2, "cached": True, "bias": False}, {"K": 0}]),
    *cases_of(pyg.SSGConv, WIDTH, 4, options=[{"alpha": 0.2, "K": 3}, {"alpha": 0.2, "K": 0, "cached": True}]),
    *cases_of(pyg.LGConv, options=[{}, {"normalize": False}]),
    *cases_of(
        pyg.APPNP,
        options=[
            {"K": 5, "alpha": 0.1},
            {"K": 4, "alpha": 0.2, "dropout": 0.5},
            {"K": 3, "alpha": 0.1, "dropout": 0.5, "cached": True, "add_self_loops": False},
            {"K": 2, "alpha": 0.1, "aggr": "std"},
        ],
    ),
    *cases_of(pyg.APPNP, options=[{"K": 2, "alpha": 0.1, "dropout": 0.4, "normalize": False}], slow_kwargs=EDGE_ONES),
    *cases_of(pyg.TAGConv, WIDTH, 4, options=[{}, {"K": 1, "normalize": False, "bias": False}]),
    *cases_of(pyg.MixHopConv, WIDTH, 4, options=[{}, {"powers": [1, 3], "bias": False}, {"powers": [2, 0, 2]}]),
    *cases_of(
        pyg.ClusterGCNConv, WIDTH, 4, options=[{}, {"diag_lambda": 0.7}, {"add_self_loops": False, "diag_lambda": 0.5}]
    ),
    *cases_of(
        pyg.GCN2Conv,
        WIDTH,
        options=[
            {"alpha": 0.1},
            {"alpha": 0.3, "theta": 0.5, "layer": 2, "shared_weights": False, "cached": True},
            {"alpha": 0.3, "theta": 0.5, "layer": 2, "normalize": False},
        ],
        with_x0=True,
    ),
    *cases_of(
        pyg.ARMAConv,
        WIDTH,
        4,
        options=[
            {},
            {"num_stacks": 3, "num_layers": 3, "dropout": 0.5},
            {"num_stacks": 2, "num_layers": 3, "shared_weights": True, "act": None, "bias": False},
        ],
    ),
    *cases_of(
        pyg.ChebConv, WIDTH, 4, options=[{"K": 1}, {"K": 2}, {"K": 5}, {"K": 4, "normalization": "rw", "bias": False}]
    ),
    *cases_of(pyg.ChebConv, WIDTH, 4, options=[{"K": 5}, {"K": 4, "normalization": None}], kwargs={"lambda_max": 1.7}),
    *cases_of(
        pyg.ChebConv,
        WIDTH,
        4,
        options=[{"K": 4}, {"K": 3, "normalization": None}],
        kwargs={"lambda_max": torch.tensor([1.5, 2.5]), "batch": torch.tensor([0, 0, 1, 1, 1, 0, 1])},
    ),
    *cases_of(pyg.GATConv, WIDTH, 4, options=ATTENTION),
    *cases_of(pyg.GATConv, (WIDTH, WIDTH), 4, options=[{"heads": 2, "residual": True}]),
    *cases_of(pyg.GATv2Conv, WIDTH, 4, options=[*ATTENTION, {"share_weights": True, "heads": 2, "dropout": 0.5}]),
    *cases_of(
        pyg.TransformerConv,
        WIDTH,
        4,
        options=[
            {},
            {"heads": 3, "beta": True, "dropout": 0.4},
            {"heads": 2, "concat": False, "beta": True, "bias": False},
            {"heads": 2, "root_weight": False},
        ],
    ),
    *cases_of(
        pyg.FAConv,
        WIDTH,
        options=[{}, {"eps": 0.0, "dropout": 0.5}, {"eps": 0.3, "cached": True, "add_self_loops": False}],
        with_x0=True,
    ),
    *cases_of(pyg.FAConv, WIDTH, options=[{"normalize": False}], with_x0=True, slow_kwargs=EDGE_ONES),
    *cases_of(pyg.AGNNConv, options=[{}, {"requires_grad": False, "add_self_loops": False}]),
    *cases_of(
        pyg.SAGEConv,
        WIDTH,
        4,
        options=[
            {},
            {"aggr": "max", "project": True, "normalize": True},
            {"aggr": "add", "root_weight": False, "bias": False},
            {"aggr": "lstm"},
            {"aggr": "median"},
            {"aggr": ["mean", "max", "std", "softmax"]},
        ],
    ),
    *cases_of(pyg.GraphConv, WIDTH, 4, options=[{}, {"aggr": "mean", "bias": False}, {"aggr": "max"}, {"aggr": "var"}]),
    *[
        Case(pyg.GINConv, lambda o=o: pyg.GINConv(mlp(WIDTH, 4), **o), str(o))
        for o in ({}, {"eps": 0.3, "train_eps": True}, {"aggr": "max"})
    ],
    *cases_of(pyg.LEConv, WIDTH, 4, options=[{}, {"bias": False}]),
    *cases_of(pyg.ResGatedGraphConv, WIDTH, 4, options=[{}, {"act": nn.Tanh(), "root_weight": False, "bias": False}]),
    Case(pyg.PNAConv, lambda: pna(["mean", "min", "max", "std"], ALL_SCALERS), "usual"),
    Case(pyg.PNAConv, lambda: pna(["std"], ["identity"]), "std"),
    Case(pyg.PNAConv, lambda: pna(ALL_AGGREGATORS, ALL_SCALERS, towers=2, divide_input=True), "all"),
    Case(pyg.PNAConv, lambda: pna(["sum", "max"], ALL_SCALERS, towers=2, pre_layers=2, post_layers=2), "deep"),
    Case(pyg.PNAConv, lambda: pna(["mean", "max"], ALL_SCALERS, train_norm=True), "train_norm"),
    *[
        Case(pyg.EdgeConv, lambda o=o: pyg.EdgeConv(mlp(2 * WIDTH, 4), **o), str(o))
        for o in ({}, {"aggr": "mean"}, {"aggr": ["max", "sum"]})
    ],
    *cases_of(pyg.GatedGraphConv, 8, options=[{"num_layers": 3}, {"num_layers": 1, "aggr": "mean", "bias": False}]),
]


def check(case: Case, dtype: torch.dtype, *, training: bool, device: str = "cpu") -> None:
    """Assert that the peer of one layer equals the real layer on the self-loop graph."""
    torch.manual_seed(0)
    conv = case.build().to(device, dtype).train(training)
    inputs = [torch.randn(ROWS, WIDTH, dtype=dtype, device=device) for _ in range(1 + case.with_x0)]
    peer = PeerMLP(conv, call=lambda model, x, loops: model(x, *inputs[1:], loops, **_to(case.kwargs, x)))
    real = copy.deepcopy(conv)
    conv.register_propagate_forward_pre_hook(_no_propagation)
    buffers = {name: (b, b.clone()) for name, b in conv.named_buffers()}
    fast = _run(peer, conv, inputs)
    for name, buffer in conv.named_buffers():
        assert buffer is buffers[name][0], f"{case}: buffer {name} replaced"
        assert torch.equal(buffer, buffers[name][1]), f"{case}: buffer {name} changed"
    assert all(value is None for name, value in vars(conv).items() if name.startswith("_cached")), f"{case}: cache"
    loops = torch.arange(ROWS, device=device).repeat(2, 1)
    more = _to({**case.kwargs, **case.slow_kwargs}, inputs[0])
    slow = _run(lambda x: real(x, *inputs[1:], loops, **more), real, inputs)
    for name in slow:
        _close(fast[name], slow[name], dtype, f"{case}: {name}")


def _no_propagation(conv: nn.Module, _inputs: object) -> None:
    raise AssertionError(f"the peer of {conv} propagated messages along edges")


def _to(kwargs: dict[str, Any], like: Tensor) -> dict[str, Any]:
    return {
        k: (v.to(like) if v.is_floating_point() else v.to(like.device)) if isinstance(v, Tensor) else v
        for k, v in kwargs.items()
    }


def _run(forward: Callable[[Tensor], Tensor], conv: nn.Module, inputs: list[Tensor]) -> dict[str, Tensor | None]:
    """Output, gradients and the next random number, all from seed 1."""
    inputs[:] = [x.detach().clone().requires_grad_() for x in inputs]
    torch.manual_seed(1)
    out = forward(inputs[0])
    found: dict[str, Tensor | None] = {"output": out, "next random number": torch.rand(1, device=out.device)}
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    (out * weights).sum().backward()
    found |= {f"gradient of input {i}": x.grad for i, x in enumerate(inputs)}
    return found | {f"gradient of {name}": p.grad for name, p in conv.named_parameters()}


def _close(fast: Tensor | None, slow: Tensor | None, dtype: torch.dtype, what: str) -> None:
    assert (fast is None) == (slow is None), f"{what}: the peer's is {fast}, the layer's {slow}"
    if fast is None or slow is None:
        return
    assert (fast.shape, fast.dtype) == (slow.shape, slow.dtype), what
    error = (fast - slow).abs().max().item() / max(1.0, slow.abs().max().item())
    assert error <= TOLERANCE[dtype], f"{what}: relative error {error}"  # also fails on NaN


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CONDITIONS = [(dtype, training, device) for device in DEVICES for dtype in TOLERANCE for training in (False, True)]


def cases_in(module: ModuleType) -> list[Case]:
    """The cases of the layers whose rule is defined in ``module``."""
    return [case for case in CASES if rule_for(case.layer).__module__ == module.__name__]
