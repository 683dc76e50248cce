"""Checks at the door: what an optimizer is built from."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def base_optimizer(
    params: Iterable[Any], base: type[torch.optim.Optimizer] | torch.optim.Optimizer, options: dict[str, Any]
) -> torch.optim.Optimizer:
    """Build the base from its class and options, or check the given instance.

    Raises:
        TypeError: it is no optimizer, it cannot step on given gradients (L-BFGS, another two-pass optimizer), or
            options are given beside an instance.
        ValueError: the instance holds other parameters, or options come with groups that are not the instance's.
    """
    if isinstance(base, type) and issubclass(base, torch.optim.Optimizer):
        made = base(params, **options)
    elif not isinstance(base, torch.optim.Optimizer):
        raise TypeError(
            f"expected base to be a torch optimizer class or instance, found {base!r}; try torch.optim.Adam"
        )
    elif options:
        raise TypeError(
            f"expected no options for a base instance, found {sorted(options)}; set them on the base itself"
        )
    else:
        made = base
        _check_same_parameters(params, made)
    closure = inspect.signature(made.step).parameters.get("closure")
    if hasattr(made, "ascend") or (closure is not None and closure.default is inspect.Parameter.empty):
        raise TypeError(
            f"expected a base that steps on given gradients, found {type(made).__name__}, which needs a closure"
        )
    return made


def _check_same_parameters(params: Iterable[Any], base: torch.optim.Optimizer) -> None:
    given: set[int] = set()
    for entry in list(params):
        if isinstance(entry, dict) and len(entry) > 1 and not any(entry is group for group in base.param_groups):
            raise ValueError(
                f"expected groups without options beside a base instance, found {sorted(set(entry) - {'params'})}; "
                "set them in base.param_groups, which are used as they are"
            )
        members = entry["params"] if isinstance(entry, dict) else [entry]
        members = [members] if isinstance(members, Tensor) else members
        given.update(id(m[1] if isinstance(m, tuple) else m) for m in members)
    held = {id(p) for group in base.param_groups for p in group["params"]}
    if given != held:
        raise ValueError(
            f"expected the base instance to hold the {len(given)} parameters given, found {len(held)} in it, "
            f"{len(given & held)} of them in common; build both from the same parameters"
        )


def check_rho(rho: float) -> None:
    """Refuse a negative or non-finite radius."""
    if not (math.isfinite(rho) and rho >= 0):
        raise ValueError(f"expected a finite rho >= 0, found {rho}; rho = 0 switches the ascent off")


def check_max_grad_norm(bound: float | None) -> float | None:
    """Refuse a clipping norm that is not positive, and return it."""
    if bound is not None and not bound > 0:
        raise ValueError(f"expected max_grad_norm > 0, or None for no clipping, found {bound}")
    return bound


def check_scope(scope: str, module: nn.Module | None, uses_ascent_gradient: bool) -> str:
    """Check how far the ascent gradient is averaged over processes, and return it."""
    if scope not in ("global", "local"):
        raise ValueError(f"expected ascent 'global' or 'local', found {scope!r}")
    if scope == "local" and not hasattr(module, "no_sync"):
        raise ValueError(
            f"expected module= the DistributedDataParallel model for ascent='local', found {type(module).__name__}"
        )
    if scope == "local" and uses_ascent_gradient:
        raise ValueError(
            "expected ascent='global': this optimizer descends, or decides, by the ascent gradient, which must be "
            "averaged"
        )
    return scope


def check_alpha(alpha: float) -> None:
    """Refuse a negative or non-finite weight of the flatness part."""
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"expected a finite alpha >= 0, found {alpha}")


def check_whole(what: str, number: int, hint: str) -> int:
    """Refuse what is no whole number of at least 1, and return it."""
    if not (isinstance(number, int) and number >= 1):
        raise ValueError(f"expected a whole {what} >= 1, found {number}; {hint}")
    return number


def check_share(name: str, share: float) -> float:
    """Refuse a share that is not above 0 and at most 1, and return it."""
    if not 0 < share <= 1:
        raise ValueError(f"expected 0 < {name} <= 1, found {share}; {name} = 1 takes all")
    return share


_KINDS: dict[type, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "a name"),
}


def check_kind(name: str, value: Any, default: Any) -> None:
    """Refuse an option that is of another type than its default; a whole number is a number, too.

    Raises:
        ValueError: it is. Defaults that are no flag, number or name say nothing.
    """
    if type(default) not in _KINDS:
        return
    accepted, words = _KINDS[type(default)]
    flag = isinstance(default, bool)
    if not isinstance(value, accepted) or isinstance(value, bool) != flag:
        example = "" if flag else f" such as {default}"
        raise ValueError(f"expected {name} to be {words}{example}, found {value!r}")


def check_losses(losses: Tensor) -> None:
    """Refuse anything but the losses of single samples, shape ``(B,)`` with B of at least 1."""
    if losses.dim() != 1 or not len(losses):
        raise ValueError(
            f"expected the losses of the samples, shape (B,), found shape {tuple(losses.shape)}; "
            "compute them with reduction='none'"
        )
