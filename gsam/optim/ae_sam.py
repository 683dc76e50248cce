"""AE-SAM: SAM steps where the gradient is large for its recent history, plain steps elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from gsam.optim.checks import check_whole
from gsam.optim.sharpness_aware import Closure, SharpnessAware


class AESAM(SharpnessAware):
    r"""Adaptive policy for SAM (Jiang et al., ICLR 2023): a second pass only in steps that start at a sharp place.

    The sign of a sharp place is the squared norm :math:`n_t = \|\nabla L(w_t)\|_2^2` over all parameters together,
    compared with its moving mean and variance :math:`\mu, \sigma^2`. After the first pass of step :math:`t`, counted
    from 0, in this order:

    .. math::
        \mu &\leftarrow d\, \mu + (1 - d)\, n_t \\
        \sigma^2 &\leftarrow d\, \sigma^2 + (1 - d)\, (n_t - \mu)^2 \quad \text{with the new } \mu \\
        c_t &= \lambda_2 + (\lambda_1 - \lambda_2)\, \min(t / T, 1)

    and the step is that of :class:`SAM` if :math:`n_t \ge \mu + c_t \sigma` with these new values; otherwise the base
    optimizer steps with the gradient of the first pass. So :math:`c_t` goes from :math:`\lambda_2` to
    :math:`\lambda_1`, and by default SAM steps become more frequent.

    Both averages start at 0 without a correction of that bias, so training begins with SAM steps. A step that is
    skipped, because a gradient is not finite, leaves :math:`t`, :math:`\mu` and :math:`\sigma^2` as they are. With
    :math:`\lambda_1 = \lambda_2 = -\infty` this is :class:`SAM`, with :math:`+\infty` the base, both bit for bit. Steps
    are taken with a closure, as the passes differ between steps.

    Args:
        params: parameters or parameter groups.
        base: optimizer class or instance that makes the descent step.
        total_steps: number of steps :math:`T` over which the threshold moves, at least 1; it stays at
            :math:`\lambda_1` afterwards.
        rho: radius of the ascent, default 0.05.
        lambda1: :math:`\lambda_1`, the threshold at the end in units of :math:`\sigma`, default -1.
        lambda2: :math:`\lambda_2`, that at the start, default 1.
        decay: :math:`d` in [0, 1), default 0.9.
        **options: those of :class:`SharpnessAware`, except ``ascent="local"``, and of the base.

    Attributes:
        steps_taken: number of steps so far, :math:`t`.
        sharp_steps: how many of them were SAM steps.
        mu: :math:`\mu`.
        variance: :math:`\sigma^2`.
    """

    decides_by_ascent_gradient = True
    counters = ("skipped_steps", "steps_taken", "sharp_steps", "mu", "variance")

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        total_steps: int,
        rho: float = 0.05,
        lambda1: float = -1.0,
        lambda2: float = 1.0,
        decay: float = 0.9,
        **options: Any,
    ) -> None:
        self.total_steps = check_whole("number of steps total_steps", total_steps, "count those of the whole training")
        self.lambda1, self.lambda2 = _check_thresholds(lambda1, lambda2)
        if not 0 <= decay < 1:
            raise ValueError(f"expected 0 <= decay < 1, found {decay}")
        self.decay, self.steps_taken, self.sharp_steps = decay, 0, 0
        self.mu, self.variance = 0.0, 0.0
        self._pending = 0.0, 0.0, False  # mean, variance and decision of the step under way
        super().__init__(params, base, rho=rho, **options)

    @property
    def threshold(self) -> float:
        r"""The present :math:`c_t`."""
        passed = min(self.steps_taken / self.total_steps, 1.0)
        if self.lambda1 == self.lambda2:  # perhaps infinite
            return self.lambda1
        return self.lambda2 + (self.lambda1 - self.lambda2) * passed

    @property
    def share_of_sam_steps(self) -> float:
        """Share of the steps taken so far that were SAM steps, in [0, 1]; NaN before the first step."""
        return self.sharp_steps / self.steps_taken if self.steps_taken else math.nan

    def _passes(self, closure: Closure, scaler: torch.amp.GradScaler | None) -> Any:
        random_state = self._random_state()
        loss = self._evaluate(closure)
        length = self._gradient_norm() / (1.0 if scaler is None else scaler.get_scale())
        mu, variance = _moments(length**2, self.mu, self.variance, self.decay)
        sharp = self._climbs() and _is_sharp(length**2, mu, variance, self.threshold)
        self._pending = mu, variance, sharp
        if sharp and self.ascend():
            self._at_perturbed(closure, random_state)
        return loss

    @torch._disable_dynamo
    def descend(self, scaler: torch.amp.GradScaler | None = None) -> bool:
        """As :meth:`SharpnessAware.descend`; a step that is taken counts in the averages."""
        stepped = super().descend(scaler)
        if stepped:
            self.mu, self.variance, sharp = self._pending
            self.steps_taken += 1
            self.sharp_steps += sharp
        return stepped

    def _check_by_hand(self) -> None:
        raise TypeError("expected step(closure): the passes differ between steps; or use SAM by hand")


def _moments(square: float, mu: float, variance: float, decay: float) -> tuple[float, float]:
    """The moving mean and variance after another squared norm."""
    mu = decay * mu + (1 - decay) * square
    return mu, decay * variance + (1 - decay) * (square - mu) ** 2


def _is_sharp(square: float, mu: float, variance: float, threshold: float) -> bool:
    # -inf apart, as it times a standard deviation of 0 is NaN
    return threshold == -math.inf or square >= mu + threshold * math.sqrt(variance)


def _check_thresholds(lambda1: float, lambda2: float) -> tuple[float, float]:
    if not (lambda1 == lambda2 or (math.isfinite(lambda1) and math.isfinite(lambda2))):
        raise ValueError(
            f"expected finite lambda1 and lambda2, or twice the same infinity, found {lambda1} and {lambda2}; "
            "both -inf make every step a SAM step, both inf none"
        )
    return lambda1, lambda2
