"""Gradient clipping in the norm of the manifolds that the parameters live on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gsam.optim.checks import check_max_grad_norm
from gsam.optim.geometry import Geometry
from gsam.optim.riemannian import Riemannian
from gsam.optim.shards import WHOLE, Shards
from gsam.optim.sites import find_site
from gsam.optim.vectors import values


@torch.no_grad()
def clip_grad_norm_(optimizer: torch.optim.Optimizer, max_norm: float) -> Tensor:
    r"""Scale all gradients of an optimizer together so that their Riemannian norm is at most ``max_norm``.

    .. math::
        \|g\|^2 = \sum_i \|\operatorname{grad} L\|_{x_i}^2 + \sum_j \|g_j\|_2^2

    over the points :math:`x_i` on manifolds (of the group, or of a ``geoopt.ManifoldParameter``) and the plain
    parameters :math:`j`; where all are plain it is ``torch.nn.utils.clip_grad_norm_``. It does not wait for the device.
    With a ``GradScaler`` call ``scaler.unscale_(optimizer)`` first. Sharpness-aware optimizers clip the gradient they
    descend with by ``max_grad_norm``, :class:`RiemannianSAM` and :class:`LorentzSAM` in this norm.

    Args:
        optimizer: whose ``p.grad`` are clipped, dense or row-sparse (which are coalesced).
        max_norm: above 0.

    Returns:
        The norm before, a float64 scalar. If it is not finite, so are the gradients.

    Raises:
        ValueError: ``max_norm`` is not above 0.
    """
    check_max_grad_norm(max_norm)
    entries = coalesced(p for group in optimizer.param_groups for p in group["params"])
    return scale_to_(entries, squared_gradient_norm(optimizer.param_groups, Riemannian()), max_norm)


def coalesced(params: Iterable[Tensor]) -> dict[Tensor, Tensor]:
    """The entries of the gradients of those that have one; row-sparse gradients are coalesced in place."""
    found = {}
    for param in params:
        if param.grad is not None:
            param.grad = param.grad.coalesce() if param.grad.is_sparse else param.grad
            found[param] = values(param.grad)
    return found


def scale_to_(entries: Mapping[Tensor, Tensor], squared_norm: Tensor, bound: float) -> Tensor:
    """Scale entries of this squared norm down to ``bound``, without waiting for the device; the norm they had."""
    norm = squared_norm.sqrt()
    factor = (bound / norm).clamp(max=1.0)
    for entry in entries.values():
        entry.mul_(factor.to(entry))
    return norm


def squared_gradient_norm(groups: Iterable[Mapping[str, Any]], geometry: Geometry, shards: Shards = WHOLE) -> Tensor:
    """The squared dual norm of all gradients in a geometry, a float64 scalar; 0 if there is none."""
    sites = [site for site in map(find_site, groups) if site.points]
    found = [geometry.squared_dual_norm(site).double() for site in sites]
    if not found:
        return torch.zeros((), dtype=torch.float64)
    found = shards.joined(found, [shards.holds(site.params) for site in sites])
    return torch.stack([square.to(found[0].device) for square in found]).sum()
