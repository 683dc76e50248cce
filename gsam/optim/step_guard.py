"""Steps that must not happen: a gradient that is not finite, from any optimizer, and too many of them in a row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gsam.evaluation import NonFiniteError
from gsam.optim.shards import WHOLE, Shards
from gsam.optim.sharpness_aware import Closure, SharpnessAware
from gsam.optim.vectors import host


class TooManySkippedError(NonFiniteError):
    """So many steps in a row had a gradient that is not finite that training cannot go on."""


class StepGuard:
    """Skips the steps of plain optimizers whose gradient is not finite, counts all skipped ones, and stops a long run.

    :class:`SharpnessAware` skips such steps by itself; its counter is read. For any other optimizer the closures are
    wrapped: where the gradient is not finite it is taken away, and an optimizer leaves a parameter without a gradient
    alone, with all its state. The device is waited for once a step.

    Args:
        model: whose parameters are named in the message.
        optimizer: over its parameters.
        limit: skipped steps in a row after which :meth:`check` raises; ``None`` for no limit.
        shards: parameters of which other processes have the rest; they skip together.

    Raises:
        ValueError: the limit is below 1.

    Example::

        guard = StepGuard(model, optimizer, limit=100)
        for batch in loader:
            optimizer.step(guard.closure(lambda: closure(batch)))
            guard.check()
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        limit: int | None = 100,
        *,
        shards: Shards = WHOLE,
    ) -> None:
        self.model, self.optimizer, self.limit = model, optimizer, check_skip_limit(limit)
        self.shards = shards
        self._skips_itself = isinstance(optimizer, SharpnessAware)
        self._counted = 0
        self._culprit = ""
        self.skipped = 0

    @property
    def skipped(self) -> int:
        """Steps skipped so far; those that an optimizer skipped before do not count."""
        return self._total() - self._before

    @skipped.setter
    def skipped(self, count: int) -> None:
        """Go on counting from there."""
        self._before = self._total() - count
        self._seen, self._in_a_row = count, 0

    def _total(self) -> int:
        return int(getattr(self.optimizer, "skipped_steps", 0)) if self._skips_itself else self._counted

    def closure(self, closure: Closure) -> Closure:
        """The closure to step with."""
        return closure if self._skips_itself else lambda: self._guarded(closure)

    def check(self) -> None:
        """Look at the step just taken; it is to be called after each.

        Raises:
            TooManySkippedError: it is the last of too many skipped ones in a row.
        """
        skipped = self.skipped
        self._in_a_row = self._in_a_row + 1 if skipped > self._seen else 0
        self._seen = skipped
        if self.limit is not None and self._in_a_row >= self.limit:
            raise TooManySkippedError(
                f"expected finite gradients, found none in {self._in_a_row} steps in a row, the last time not in "
                f"{self._culprit or self._first_bad()}; lower the learning rate, or look at the data"
            )

    def check_any(self, steps: int) -> None:
        """Look at a training of so many steps.

        Raises:
            NonFiniteError: all of them were skipped.
        """
        if self.skipped >= steps:
            raise NonFiniteError(
                "expected finite gradients, found none in any step; lower --lr or scale the features down"
            )

    def _guarded(self, closure: Closure) -> Any:
        loss = closure()
        parameters = list(self.model.parameters())
        total = self.shards.squared_norm({p: _entries(p.grad) for p in parameters if p.grad is not None})
        if math.isfinite(host(total + 0.0 * _last_loss(loss).to(total))[0]):  # infinity times 0 is NaN
            self._culprit = ""
        else:
            self._counted += 1
            self._culprit = self._first_bad()
            for parameter in parameters:
                parameter.grad = None
        return loss

    def _first_bad(self) -> str:
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not bool(_entries(parameter.grad).isfinite().all()):
                return f"the gradient of {name}"
        return "the loss or a sum of gradients"


def check_skip_limit(limit: int | None) -> int | None:
    """Return the limit.

    Raises:
        ValueError: it is below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected at least 1 skipped step in a row before training stops, found {limit}")
    return limit


def _entries(grad: Tensor) -> Tensor:
    return grad._values() if grad.is_sparse else grad  # repeated rows need not be added up for this


def _last_loss(loss: Any) -> Tensor:
    return torch.as_tensor(loss if isinstance(loss, (Tensor, float)) else 0.0).detach().sum()
