"""A running average of the weights, on their manifolds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gsam.manifolds import manifold_groups


class WeightAverage:
    r"""An exponential moving average of a model's parameters.

    .. math:: \bar w \leftarrow d \bar w + (1 - d) w

    The decay of the first averages is smaller, :math:`(1 + t) / (10 + t)` after t of them, so that the starting weights
    are soon forgotten. Points of a manifold are averaged by their ambient coordinates and projected when the average is
    used; on the hyperboloid the projection of an average of near points is close to their centroid.

    Args:
        model: whose parameters are averaged; its buffers are left as they are.
        decay: d in (0, 1), per step.
        every: steps between two averages, which then count for as many.
    """

    def __init__(self, model: nn.Module, decay: float, *, every: int = 10) -> None:
        self.decay, self.every = decay, every
        groups = manifold_groups(model)
        self._params: list[Tensor] = [parameter for group in groups for parameter in group["params"]]
        self._manifolds = [group["manifold"] for group in groups for _ in group["params"]]
        self._mean = [parameter.detach().clone() for parameter in self._params]
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the average."""
        self._steps += 1
        if self._steps % self.every:
            return
        taken = self._steps // self.every
        decay = min(self.decay**self.every, (1 + taken) / (10 + taken))
        torch._foreach_lerp_(self._mean, [parameter.detach() for parameter in self._params], 1 - decay)

    def state(self) -> dict[str, Any]:
        """The average and what it has seen, for :meth:`load_state`."""
        return {"mean": self._mean, "steps": self._steps}

    @torch.no_grad()
    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        torch._foreach_copy_(
            self._mean, [mean.to(own.device) for mean, own in zip(state["mean"], self._mean, strict=True)]
        )
        self._steps = state["steps"]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights within the block, and its own again after it."""
        own = [parameter.detach().clone() for parameter in self._params]
        self._write(list(map(_projected, self._manifolds, self._mean)))
        try:
            yield
        finally:
            self._write(own)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(self._params, values)


@torch.no_grad()
def _projected(manifold: Any, mean: Tensor) -> Tensor:
    return mean if manifold is None else manifold.projx(mean)
