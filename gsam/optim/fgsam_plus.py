"""FGSAM+: the full FGSAM step every k steps, and only the peer MLP in between."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from gsam.optim.fgsam import both, check_lam, default_lam, mix_gradients, shares
from gsam.optim.sharpness_aware import Closure, SharpnessAware
from gsam.optim.statistics import held_statistics
from gsam.optim.vectors import norm, norms, unit_rejection, values, weighted_sum_


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
        if not (isinstance(k, int) and k >= 1):
            raise ValueError(f"expected a whole interval k >= 1, found {k}; k = 1 makes every step exact")
        self.variant, self.lam = variant, check_lam(default_lam(variant) if lam is None else lam, variant)
        self.alpha, self.k, self.steps_taken = alpha, k, 0
        self._peer_gradient: dict[Tensor, Tensor] | None = None  # h of the exact step under way
        super().__init__(params, base, rho=rho, **options)

    def _group_options(self) -> dict[str, Any]:
        return {"lam": self.lam, "alpha": self.alpha}

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_lam(group["lam"], self.variant)
        if not (math.isfinite(group["alpha"]) and group["alpha"] >= 0):
            raise ValueError(f"expected a finite alpha >= 0, found {group['alpha']}")

    @property
    def exact_next(self) -> bool:
        """Whether the next step runs the GNN."""
        return self.steps_taken % self.k == 0

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

    def perturbed(self) -> NoReturn:
        """Not offered here.

        Raises:
            TypeError: always.
        """
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
        params = [p for p in self._parameters() if p in peer or any(p in source for source in sources.values())]
        axis, together = _aligned(params, peer), self.variant == "paper"
        found: dict[Tensor, dict[str, Tensor]] = {p: {} for p in params}
        for name, source in sources.items():
            copy = functools.partial(self._scratch.copy, name)
            parts = unit_rejection(_aligned(params, source), axis, together=together, copy=copy)
            if parts is None:  # not finite: descend() will skip the step
                return
            for param, part in zip(params, parts, strict=True):
                found[param][name] = part
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
        parts, grad = self.variant_state.get(param, {}), param.grad
        factors = {"flatness": group["alpha"] * length, "topology": group["lam"] * length}
        terms = [(part, factors[name]) for name, part in parts.items()]
        if grad is None or grad.is_sparse:  # the sum is made in the first dense term, which must not be a stored part
            terms = [(self._scratch.copy(f"step {id(param)} {i}", [t])[0], f) for i, (t, f) in enumerate(terms)]
        if grad is not None:
            terms.insert(0, (grad, 1.0 + group["lam"] if "topology" in parts else 1.0))
        return weighted_sum_(terms)

    def _take_gradients(self, name: str) -> dict[Tensor, Tensor]:
        """Copies, as the next pass may fill the same memory again (views of DDP's buckets), and no gradients left."""
        taken = self._scratch.copy_values(name, self._gradients())
        self._clear_gradients()
        return taken

    def _put_gradients(self, gradients: dict[Tensor, Tensor]) -> None:
        for param in self._parameters():
            param.grad = gradients.get(param)

    def _counters(self) -> dict[str, int]:
        return {**super()._counters(), "steps_taken": self.steps_taken}

    def _set_counters(self, counters: dict[str, int]) -> None:
        super()._set_counters(counters)
        self.steps_taken = counters.get("steps_taken", 0)


def _aligned(params: list[Tensor], found: dict[Tensor, Tensor]) -> list[Tensor]:
    """The entries of ``found`` in the order of ``params``, zeros where there is none."""
    return [found[p] if p in found else torch.zeros_like(p) for p in params]
