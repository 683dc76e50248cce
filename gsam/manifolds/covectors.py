"""Tangent vectors as covectors: what to write into ``param.grad`` so that an optimizer reads a given gradient."""

from __future__ import annotations

import torch
from geoopt.manifolds.base import Manifold
from torch import Tensor

from gsam.manifolds.hyperbolic import Hyperbolic


def rgrad2egrad(manifold: Manifold, x: Tensor, r: Tensor) -> Tensor:
    r"""The covector ``e`` with ``manifold.egrad2rgrad(x, e) == r``, for any geoopt manifold.

    A Riemannian gradient :math:`r` stands for the linear function :math:`v \mapsto \langle r, v\rangle_x` of tangent
    vectors. :class:`Lorentz` and :class:`PoincareBall` have it in closed form; of other manifolds it is the derivative
    of ``manifold.inner(x, r, v)`` in ``v``, exact since that is linear.

    Args:
        manifold: where ``x`` lives.
        x: points.
        r: tangent vectors at ``x``, of the same shape.

    Returns:
        A new tensor of the same shape, without a graph where it is not closed form.
    """
    if isinstance(manifold, Hyperbolic):
        return manifold.rgrad2egrad(x, r)
    with torch.enable_grad():
        probe = torch.zeros_like(r, requires_grad=True)
        product = manifold.inner(x.detach(), r.detach(), probe, keepdim=True)  # without it geoopt's ball mixes rows
        (covector,) = torch.autograd.grad(product.sum(), probe)
    return covector
