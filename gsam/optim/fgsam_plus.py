"""FGSAM+: the full FGSAM step every k steps, and only the peer MLP in between."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from gsam.optim.checks import check_alpha, check_whole
from gsam.optim.fgsam import both, check_lam, default_lam, shares
from gsam.optim.parts import mix_gradients, unit_parts, with_parts
from gsam.optim.sharpness_aware import Closure, SharpnessAware
from gsam.optim.statistics import held_statistics
from gsam.optim.vectors import norm, norms, values


class FGSAMPlus(SharpnessAware):
    r"""FGSAM with the GNN run only every ``k`` steps (Luo et al., NeurIPS 2024, Algorithm 1).

    Exact step (``t % k == 0``), with :math:`g, s` as in :class:`FGSAM` and :math:`h = \nabla L(w; f_\mathrm{MLP})`:

    .. math::
        G = \lambda g + s, \qquad
        g_\mathrm{top} = g - \tfrac{\langle g, h\rangle}{\|h\|^2} h, \qquad
        g_v = s - \tfrac{\langle s, h\rangle}{\|h\|^2} h .

    Cheap step, which runs the peer alone and re-uses the topology part :math:`g_\mathrm{top}` and the flatness part
    :math:`g_v` at the scale of the present gradient:

    .. math::
        \hat g = h + g_\mathrm{top} \tfrac{\|h\|}{\|g_\mathrm{top}\|}, \qquad
        G = h + \alpha\, g_v \tfrac{\|h\|}{\|g_v\|} + \lambda \hat g .

    Inner products and norms run over all parameters together. With ``k = 1`` this is :class:`FGSAM`. A part that is
    zero up to rounding (the peer and the GNN agree) has no direction and adds nothing. Running statistics such as those
    of batch norm follow the GNN's passes only, as it is the GNN that is evaluated in the end.

    Where the released code differs: its :math:`g_v` comes from the mixture :math:`(1-\lambda) g + \lambda s`, is
    projected per parameter tensor, and the topology part is off. ``variant="released"`` reproduces that.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        rho: radius of the ascent, default 0.1.
        lam: weight of the GNN's gradient, see :class:`FGSAM`; lives in each group.
        alpha: weight of the flatness part in cheap steps, at least 0; lives in each group.
        k: interval of the exact steps, at least 1. Default 5: on validation classes it is as accurate as the released
            2, and much cheaper (``benchmarks/results/interval_*.json``).
        variant: ``"paper"`` or ``"released"``.
        **options: those of :class:`SharpnessAware` and of the base.
    """

    keeps_ascent_gradient = True
    counters = ("skipped_steps", "steps_taken")

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.1,
        lam: float | None = None,
        alpha: float = 0.7,
        k: int = 5,
        variant: Literal["paper", "released"] = "paper",
        **options: Any,
    ) -> None:
        check_whole("interval k", k, "k = 1 makes every step exact")
        self.variant, self.lam = variant, check_lam(default_lam(variant) if lam is None else lam, variant)
        self.alpha, self.k, self.steps_taken = alpha, k, 0
        self._peer_gradient: dict[Tensor, Tensor] | None = None  # h of the exact step under way
        super().__init__(params, base, rho=rho, **options)

    def _group_options(self) -> dict[str, Any]:
        return {"lam": self.lam, "alpha": self.alpha}

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_lam(group["lam"], self.variant)
        check_alpha(group["alpha"])

    @property
    def exact_next(self) -> bool:
        """Whether the next step runs the GNN."""
        return self.steps_taken % self.k == 0

    @torch._disable_dynamo
    def step(
        self,
        closure: Closure | None = None,
        peer_closure: Closure | None = None,
        *,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Any:
        """Take one step; return the GNN's loss of an exact step, or the peer's loss of a cheap one.

        Args:
            closure: runs the GNN; called in exact steps only.
            peer_closure: runs the peer MLP: twice in an exact step (once if ``k = 1``), once in a cheap one.
            scaler: see :meth:`SharpnessAware.step`.

        Raises:
            TypeError: a closure is missing. This optimizer takes no steps by hand: the passes differ between steps.
        """
        closure, peer_closure = both(closure, peer_closure)
        loss = self._exact_passes(closure, peer_closure) if self.exact_next else self._cheap_pass(peer_closure)
        self.steps_taken += self.descend(scaler)
        return loss

    def _check_by_hand(self) -> None:
        raise TypeError("expected step(closure, peer_closure): the passes differ between steps; or use FGSAM by hand")

    def _exact_passes(self, closure: Closure, peer_closure: Closure) -> Any:
        self._peer_gradient = None
        random_state = self._random_state()
        loss = self._evaluate(closure)
        if self.k > 1:  # the parts are for the cheap steps
            climb = self._take_gradients("climb")
            self._evaluate_again(peer_closure, random_state)
            self._peer_gradient = self._take_gradients("peer")
            if not math.isfinite(norm([values(grad) for grad in self._peer_gradient.values()])):
                self._put_gradients(self._peer_gradient)  # so that descend() skips the step
                return loss
            self._put_gradients(climb)
        if self.ascend():
            self._at_perturbed(peer_closure, random_state)
        return loss

    def _combine(self, ascent_gradient: dict[Tensor, Tensor]) -> None:
        peer, paper = self._peer_gradient, self.variant == "paper"
        if peer is not None and paper:
            # the flatness part first: only s can be bad by now, and then the old parts must stay as they are
            self._remember({"flatness": self._gradients(), "topology": ascent_gradient}, peer)
        for group in self.param_groups:
            mix_gradients(group["params"], ascent_gradient, *shares(group["lam"], self.variant))
        if peer is not None and not paper:
            self._remember({"flatness": self._gradients()}, peer)

    def _remember(self, sources: dict[str, dict[Tensor, Tensor]], peer: dict[Tensor, Tensor]) -> None:
        """Store the unit part of each source orthogonal to the peer's gradient, for the cheap steps."""
        together = self.variant == "paper"
        found = unit_parts(self._parameters(), sources, peer, self._scratch, together=together)
        if found is not None:  # else descend() will skip the step
            self.variant_state = found

    @torch.no_grad()
    def _cheap_pass(self, peer_closure: Closure) -> Any:
        with held_statistics(self.module):
            loss = self._evaluate(peer_closure)
        grads = self._gradients()
        params = [p for p in self._parameters() if p in grads or p in self.variant_state]
        entries = [values(grads[p]) if p in grads else p.new_zeros(1) for p in params]
        lengths = [norm(entries)] * len(params) if self.variant == "paper" else norms(entries).tolist()
        scales = dict(zip(params, lengths, strict=True))
        for group in self.param_groups:
            for param in group["params"]:
                if param in scales:
                    param.grad = self._extrapolate(param, scales[param], group)
        return loss

    def _extrapolate(self, param: Tensor, length: float, group: dict[str, Any]) -> Tensor | None:
        """Gradient of a cheap step for one parameter, from its peer gradient and the stored unit parts."""
        parts = self.variant_state.get(param, {})
        factors = {"flatness": group["alpha"] * length, "topology": group["lam"] * length}
        own = 1.0 + group["lam"] if "topology" in parts else 1.0
        return with_parts(param, own, [(part, factors[name]) for name, part in parts.items()], self._scratch)
