"""Full precision where it counts: formulas whose differences cancel, kept out of half precision and of autocast."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

HALF = (torch.float16, torch.bfloat16)


def lift(value: Any) -> Any:
    """A half-precision tensor in float32, anything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value


def lifted(function: Callable[P, R]) -> Callable[P, R]:
    """A formula that takes half-precision tensors as float32 ones, and gives results in float32.

    For float32 and float64 tensors nothing is needed: autocast leaves elementwise functions of them alone. But what a
    linear layer hands over under autocast is in half precision, and formulas would round to it at every step.
    """

    @functools.wraps(function)
    def full(*args: P.args, **kwargs: P.kwargs) -> R:
        named: Any = {name: lift(value) for name, value in kwargs.items()}
        return function(*map(lift, args), **named)

    return full


def outside_autocast(product: Callable[P, R]) -> Callable[P, R]:
    """The same for what has matrix products, which autocast would take in half precision.

    The first argument is a tensor: it says on which device. Backward passes belong outside autocast, as always.
    """

    @functools.wraps(product)
    def full(*args: P.args, **kwargs: P.kwargs) -> R:
        device: Any = args[0]
        kind = device.device.type
        if not torch.is_autocast_enabled(kind):
            return product(*args, **kwargs)
        with torch.autocast(kind, enabled=False):
            return lifted(product)(*args, **kwargs)

    return full
