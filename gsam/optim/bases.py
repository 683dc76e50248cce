"""What a base optimizer knows of manifolds, and keeping gradients safe from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import geoopt
import torch
from geoopt.optim.mixin import OptimMixin
from torch import Tensor

from gsam.manifolds import Hyperbolic, manifold_of
from gsam.manifolds.precision import HALF


def curved_manifold(group: Mapping[str, Any], param: Tensor) -> geoopt.Manifold | None:
    """The manifold of a parameter of a group, ``None`` if it is flat.

    It is that of the group (``group["manifold"]``), or else the one that a ``ManifoldParameter`` carries.
    """
    manifold = group.get("manifold")
    if manifold is None:
        manifold = manifold_of(param)
    return None if isinstance(manifold, geoopt.Euclidean) else manifold


def check_manifolds(base: torch.optim.Optimizer, group: Mapping[str, Any]) -> None:
    """Refuse a base that would step off the manifold of a parameter.

    Raises:
        ValueError: the base is one of ``torch.optim``, or one of geoopt's and the manifold is known to the group only,
            or hyperbolic points are in half precision.
    """
    for param in group["params"]:
        manifold = curved_manifold(group, param)
        if manifold is None:
            continue
        check_precision(manifold, param)
        name = type(base).__name__
        if type(base).__module__.startswith("torch.optim"):
            raise ValueError(
                f"expected a Riemannian optimizer for a parameter on {manifold}, found torch's {name}, whose steps "
                "leave the manifold; take gsam.optim.RiemannianAdam or RiemannianSGD "
                "(by name: radam, rsgd, rsam, lorentz-sam)"
            )
        if isinstance(base, OptimMixin) and getattr(param, "manifold", None) is not manifold:
            raise ValueError(
                f"expected a geoopt.ManifoldParameter for geoopt's {name}, found a parameter whose manifold "
                f"({manifold}) only its group knows; take gsam.optim.RiemannianAdam or RiemannianSGD"
            )


def check_precision(manifold: geoopt.Manifold, param: Tensor) -> None:
    """Refuse hyperbolic points in half precision, in which most of them cannot be told from their neighbours.

    Raises:
        ValueError: the dtype is float16 or bfloat16.
    """
    if param.dtype in HALF and isinstance(manifold, (Hyperbolic, geoopt.Lorentz, geoopt.Stereographic)):
        raise ValueError(
            f"expected points of {manifold} in float32 or float64, found {param.dtype}; keep the weights in float32 "
            "and let torch.autocast lower what can be lowered"
        )


@contextmanager
def kept_gradients(base: torch.optim.Optimizer) -> Iterator[None]:
    """Hand copies of the dense gradients to optimizers that write into them, the gradients themselves to others.

    geoopt's turn signs and add the weight decay, torch's ``foreach`` SGD adds Nesterov's momentum.
    """
    if not (isinstance(base, OptimMixin) or any(group.get("nesterov") for group in base.param_groups)):
        yield
        return
    params = [p for group in base.param_groups for p in group["params"] if p.grad is not None and not p.grad.is_sparse]
    kept = [param.grad for param in params]
    for param, grad in zip(params, kept, strict=True):
        param.grad = grad.clone()
    try:
        yield
    finally:
        for param, grad in zip(params, kept, strict=True):
            param.grad = grad
