"""What the Riemannian optimizers share: where a parameter lives, which of its points move, and how they move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import geoopt
import torch
from torch import Tensor

from gsam.manifolds import Hyperbolic
from gsam.optim.bases import check_precision, curved_manifold
from gsam.optim.sites import find_site

#: how many numbers of a dense table move at once on a CPU
BLOCK = 2**18


@dataclass(frozen=True)
class Patch:
    """Points of one parameter that move together: the touched rows of a row-sparse one, all or a block of a dense one.

    Attributes:
        param: the whole parameter.
        state: what the optimizer keeps for it.
        fresh: whether this is its first step, before which nothing was kept.
        manifold: where its points lie; ``None`` if they are plain numbers.
        rows: the touched rows, shape ``(n,)``, a block of them, or ``None`` for all.
        points: the parameter or a block of it, or copies of its touched rows.
        gradient: the Riemannian gradient at each of ``points``, of the same shape, in memory of its own.
        retraction: whether steps follow the manifold's retraction in place of its exponential map.
    """

    param: Tensor
    state: dict[str, Tensor]
    fresh: bool
    manifold: Any
    rows: Tensor | slice | None
    points: Tensor
    gradient: Tensor
    retraction: bool

    def zeros(self, like: Tensor) -> Tensor:
        """State for the whole parameter, with rows as ``like``'s."""
        return torch.zeros_like(like) if self.rows is None else like.new_zeros(len(self.param), *like.shape[1:])

    def take(self, whole: Tensor) -> Tensor:
        """The part of a state tensor that belongs to ``points``: of all or a block a view, of touched rows a copy."""
        if self.rows is None:
            return whole
        return whole[self.rows] if isinstance(self.rows, slice) else whole.index_select(0, self.rows)

    def put(self, whole: Tensor, part: Tensor) -> None:
        """Write a part back."""
        if isinstance(self.rows, Tensor):
            whole.index_copy_(0, self.rows, part)
        else:
            self.take(whole).copy_(part)

    def squared_gradients(self) -> Tensor:
        """Squared Riemannian norm of the gradient, one number per factor of a point; shape broadcasts to the points'.

        A point of a ``ProductManifold`` has several factors, a plain number is one by itself, any other point is one.
        """
        if self.manifold is None:
            return self.gradient.square()
        found: Tensor = self.manifold.component_inner(self.points, self.gradient)
        return found.abs()  # an indefinite form can round to less than nothing, by about its rounding error

    def move(self, step: Tensor) -> Tensor:
        """The points after a tangent ``step``."""
        if self.manifold is None:
            return self.points + step
        follow = self.manifold.retr if self.retraction else self.manifold.expmap
        moved: Tensor = follow(self.points, step)
        return moved

    def move_with(self, step: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """The points after a tangent ``step``, and ``tangent`` transported along it."""
        if self.manifold is None:
            return self.points + step, tangent
        follow = self.manifold.retr_transp if self.retraction else self.manifold.expmap_transp
        moved: tuple[Tensor, Tensor] = follow(self.points, step, tangent)
        return moved


class RiemannianOptimizer(torch.optim.Optimizer, ABC):
    """Steps on parameters of any manifold, with dense and row-sparse gradients, side by side with plain ones.

    The manifold of a parameter is its group's ``"manifold"`` if that is not ``None``, else the one of a
    ``geoopt.ManifoldParameter``, else Euclidean. It is left out of ``state_dict()`` (so the files load with
    ``weights_only=True``) and stays with the group when a state is loaded.

    Args:
        params: parameters or parameter groups.
        defaults: the options of a group, among them ``lr``, ``weight_decay``, ``maximize``, ``manifold``,
            ``retraction``, ``stabilize``.
    """

    #: the entries of a parameter's state that are tangent vectors at its points
    tangents: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            if not defaults[name] >= 0:
                raise ValueError(f"expected {name} >= 0, found {defaults[name]}")
        super().__init__(params, {**defaults, "taken": 0, "differentiable": False})  # torch adds the last on loading

    @torch._disable_dynamo  # a compiled step would not see the manifolds, and take every point for plain numbers
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with the gradients in ``p.grad``, which are not written to.

        Args:
            closure: computes the gradients and returns the loss, which is returned. Gradients are taken as they are:
                what is not finite is the caller's to look for.

        Raises:
            ValueError: a gradient is sparse in more than its rows, or its rows are no points of the manifold.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
            self._stabilize(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        site = find_site(group)
        plain: list[Tensor] = []
        for param, rows, points, grad in zip(site.params, site.rows, site.points, site.grads, strict=True):
            manifold = curved_manifold(group, param)
            if manifold is None and rows is None:
                plain.append(param)
                continue
            # gsam's retraction is the exponential map, but waits for no device, and keeps points in its range
            retraction = group["retraction"] or isinstance(manifold, Hyperbolic)
            state = self._state(param)
            fresh = not state
            self._begin(state)
            if not points.numel():  # a gradient that touches no row; geoopt's products cannot reshape nothing
                continue
            for part in _blocks(param, manifold) if rows is None else [_checked(rows, param, manifold)]:
                here, there = (points[part], grad[part]) if isinstance(part, slice) else (points, grad)
                gradient = _gradient(group, manifold, here, there)
                patch = Patch(param, state, fresh, manifold, part, here, gradient, retraction)
                patch.put(param, self._advance(group, patch))
        if plain:
            self._advance_plain(group, plain, [self._state(param) for param in plain])

    @property
    def moves_untouched_rows(self) -> bool:
        """Whether a row-sparse gradient moves rows that it does not touch."""
        return False

    def _begin(self, state: dict[str, Tensor]) -> None:
        """What happens once to the state of a parameter that is about to move."""

    @abstractmethod
    def _advance(self, group: dict[str, Any], patch: Patch) -> Tensor:
        """Update the state of some points and return where they go."""

    @abstractmethod
    def _advance_plain(self, group: dict[str, Any], params: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        """Step on plain parameters with dense gradients, all at once."""

    def _state(self, param: Tensor) -> dict[str, Tensor]:
        """What is kept for ``param``, brought to its device and dtype if the module has moved."""
        state: dict[str, Tensor] = self.state[param]
        for name, value in state.items():
            if name != "step" and (value.dtype != param.dtype or value.device != param.device):
                state[name] = value.to(param)
        return state

    def _stabilize(self, group: dict[str, Any]) -> None:
        """Project points and tangent vectors back once in ``stabilize`` steps, for manifolds that drift."""
        if group["stabilize"] is None:
            return
        group["taken"] += 1
        if group["taken"] % group["stabilize"]:
            return
        for param in group["params"]:
            manifold = curved_manifold(group, param)
            if manifold is not None:
                param.copy_(manifold.projx(param))
                state = self.state.get(param, {})
                for name in self.tangents:
                    if name in state:
                        state[name].copy_(manifold.proju(param, state[name]))

    # -- groups and state ---------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its ``"manifold"``, if it has one, is that of all its parameters.

        Raises:
            TypeError: the manifold is no ``geoopt.Manifold``, or a parameter is complex.
            ValueError: a parameter's shape is not one of points of its manifold, hyperbolic points are in half
                precision, or ``stabilize`` is below 1.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check_group(self, group: dict[str, Any]) -> None:
        if group["stabilize"] is not None and not group["stabilize"] >= 1:
            raise ValueError(f"expected stabilize >= 1, or None for never, found {group['stabilize']}")
        for param in group["params"]:
            manifold = curved_manifold(group, param)
            if param.is_complex():
                raise TypeError("expected real parameters, found a complex one; hold it as torch.view_as_real(...)")
            if manifold is None:
                continue
            if not isinstance(manifold, geoopt.Manifold):
                raise TypeError(f"expected the group's manifold to be a geoopt.Manifold or None, found {manifold!r}")
            check_precision(manifold, param)
            fits, reason = manifold.check_point(param, explain=True)
            if not fits:
                raise ValueError(
                    f"expected points of {manifold}, found a parameter of shape {tuple(param.shape)} ({reason}); "
                    "put it into a group of its own"
                )

    def state_dict(self) -> dict[str, Any]:
        """As any optimizer's, without the manifolds."""
        packed = super().state_dict()
        for group in packed["param_groups"]:
            group.pop("manifold", None)
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; training goes on bit for bit. The groups keep the manifolds they have."""
        manifolds = [group["manifold"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, manifold in zip(self.param_groups, manifolds, strict=True):
            group["manifold"] = manifold

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # the state may come from one of torch's optimizers, with fewer options
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        for entries in self.state.values():
            if "step" in entries:
                entries["step"] = count(float(entries["step"]))


def count(steps: float = 0.0) -> Tensor:
    """A number of steps as torch's optimizers keep it: on the host, so that reading it waits for no device."""
    return torch.tensor(steps, dtype=torch.float32, device="cpu")


def _gradient(group: dict[str, Any], manifold: Any, points: Tensor, grad: Tensor) -> Tensor:
    """The Riemannian gradient to descend with; of a copy, as geoopt's Lorentz changes signs in what it is given."""
    grad = grad.neg() if group["maximize"] else grad.clone()
    if group["weight_decay"]:
        grad.add_(points, alpha=group["weight_decay"])
    found: Tensor = grad if manifold is None else manifold.egrad2rgrad(points, grad)
    return found


def _checked(rows: Tensor, param: Tensor, manifold: Any) -> Tensor:
    if manifold is not None and param.dim() <= manifold.ndim:
        raise ValueError(
            f"expected rows that are points of {manifold}, found a row-sparse gradient of one point of shape "
            f"{tuple(param.shape)}; make it dense"
        )
    return rows


def _blocks(param: Tensor, manifold: Any) -> list[slice] | list[None]:
    """Rows of a large table in blocks that stay in a processor's cache through the many small operations of a step."""
    if not param.is_cpu or param.dim() <= manifold.ndim or param.numel() <= BLOCK:
        return [None]
    size = max(1, BLOCK * len(param) // param.numel())
    return [slice(start, start + size) for start in range(0, len(param), size)]
