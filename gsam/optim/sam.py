"""SAM and ASAM: the two-pass core in the Euclidean and in the scale-invariant geometry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from gsam.optim.geometry import Adaptive
from gsam.optim.sharpness_aware import SharpnessAware


class SAM(SharpnessAware):
    r"""Sharpness-aware minimization (Foret et al., ICLR 2021): descend with :math:`\nabla L(w + \rho\, g / \|g\|_2)`.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius of the Euclidean ball, default 0.05.
        adaptive: use the scale-invariant ball, as :class:`ASAM` does.
        **options: those of :class:`SharpnessAware` and of the base.

    Example::

        opt = SAM(model.parameters(), torch.optim.Adam, lr=1e-3, rho=0.05)

        def closure():
            opt.zero_grad()
            loss = criterion(model(x, edge_index), y)
            loss.backward()
            return loss

        loss = opt.step(closure)
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        adaptive: bool = False,
        **options: Any,
    ) -> None:
        if adaptive:
            options.setdefault("geometry", Adaptive())
        super().__init__(params, base, rho=rho, **options)


class ASAM(SharpnessAware):
    r"""Adaptive SAM (Kwon et al., ICML 2021): :math:`\epsilon = \rho\, T^2 g / \|T g\|_2`, :math:`T = |w| + \eta`.

    The neighbourhood follows the scale of each weight, so re-scaling a layer and its successor changes nothing. It
    needs a larger ``rho`` than SAM: 0.5 is the paper's usual choice and the default.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius in the scaled norm, default 0.5.
        eta: added to :math:`|w|`; 0 by default, 0.01 in the paper.
        **options: those of :class:`SharpnessAware` and of the base.
    """

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.5,
        eta: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(params, base, rho=rho, geometry=Adaptive(eta), **options)
