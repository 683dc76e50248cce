"""LookSAM: a SAM step every k steps, and its flatness part used again in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from gsam.optim.checks import check_alpha, check_whole
from gsam.optim.parts import unit_parts, with_parts
from gsam.optim.sharpness_aware import Closure, SharpnessAware


class LookSAM(SharpnessAware):
    r"""SAM whose second pass is made every ``k`` steps only (Liu et al., CVPR 2022).

    Exact step (``t % k == 0``): the SAM step with :math:`s = \nabla L(w + \rho\, g / \|g\|)`, which leaves its part
    orthogonal to :math:`g` behind,

    .. math:: g_v = s - \tfrac{\langle s, g\rangle}{\|g\|^2} g .

    Cheap step, of one pass with the present :math:`g`:

    .. math:: G = g + \alpha\, g_v \tfrac{\|g\|}{\|g_v\|} .

    Inner products and norms run over all parameters together. With ``k = 1`` this is :class:`SAM` bit for bit. A part
    :math:`g_v` that is zero up to rounding has no direction and adds nothing. With ``rho = 0`` every step is that of
    the base, and no part is kept. A step that is skipped, because a gradient is not finite, does not count in the
    interval. Steps are taken with a closure, as the passes differ between steps (with ``k = 1`` also by hand).

    Where we differ: the paper's layer-wise scaling for very large batches (Look-LayerSAM) is left out.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius of the ascent, default 0.05.
        k: interval of the exact steps, at least 1, default 5.
        alpha: weight of the flatness part in cheap steps, at least 0, default 0.7; lives in each group.
        **options: those of :class:`SharpnessAware` and of the base.
    """

    counters = ("skipped_steps", "steps_taken")

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        k: int = 5,
        alpha: float = 0.7,
        **options: Any,
    ) -> None:
        self.k = check_whole("interval k", k, "k = 1 makes every step exact")
        self.alpha, self.steps_taken = alpha, 0
        self.keeps_ascent_gradient = k > 1  # the part is for the cheap steps
        super().__init__(params, base, rho=rho, **options)

    def _group_options(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_alpha(group["alpha"])

    @property
    def exact_next(self) -> bool:
        """Whether the next step makes the second pass."""
        return self.steps_taken % self.k == 0

    def _passes(self, closure: Closure, scaler: torch.amp.GradScaler | None) -> Any:
        if not self._climbs():
            self.variant_state = {}
        if self.exact_next or not self._climbs():
            return super()._passes(closure, scaler)
        loss = self._evaluate(closure)
        self._extrapolate()
        return loss

    @torch._disable_dynamo
    def descend(self, scaler: torch.amp.GradScaler | None = None) -> bool:
        """As :meth:`SharpnessAware.descend`; a step that is taken counts in the interval."""
        stepped = super().descend(scaler)
        self.steps_taken += stepped
        return stepped

    def _check_by_hand(self) -> None:
        if self.k > 1:
            raise TypeError("expected step(closure): the passes differ between steps; or use SAM (or k = 1) by hand")

    def _combine(self, ascent_gradient: dict[Tensor, Tensor]) -> None:
        sources = {"flatness": self._gradients()}
        found = unit_parts(self._parameters(), sources, ascent_gradient, self._scratch)
        if found is not None:  # else descend() will skip the step
            self.variant_state = found

    @torch.no_grad()
    def _extrapolate(self) -> None:
        """Make ``p.grad`` the gradient of a cheap step, from the present one and the stored unit part."""
        length = self._gradient_norm()
        for group in self.param_groups:
            for param in group["params"]:
                parts = self.variant_state.get(param, {}).values()
                param.grad = with_parts(param, 1.0, [(part, group["alpha"] * length) for part in parts], self._scratch)
