"""The two-pass core: climb to the worst nearby point, take the gradient there, come back, let a base optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gsam.optim.bases import kept_gradients
from gsam.optim.checks import base_optimizer, check_max_grad_norm, check_rho, check_scope
from gsam.optim.geometry import Euclidean, Geometry
from gsam.optim.randomness import RandomState
from gsam.optim.scratch import Scratch
from gsam.optim.shards import WHOLE, Shards
from gsam.optim.sites import Site, find_site, write_rows
from gsam.optim.statistics import held_statistics
from gsam.optim.vectors import host, least_square, values

Closure = Callable[[], Any]


class SharpnessAware(torch.optim.Optimizer):
    r"""Sharpness-aware minimization around any base optimizer, in any geometry.

    One step takes the gradient :math:`g` at :math:`w`, climbs to :math:`w + \epsilon` with
    :math:`\epsilon = \rho\, G^{-1} g / \|g\|_{*}` (:math:`G` the metric, :math:`\|\cdot\|_*` its dual norm over *all*
    parameters that climb), takes the gradient there, puts the weights back bit for bit and in place, and lets the base
    optimizer step with that gradient (Foret et al., *Sharpness-Aware Minimization*, ICLR 2021).

    The wrapper is a :class:`torch.optim.Optimizer` that shares ``param_groups`` and ``state`` with its base, so
    schedulers, ``zero_grad`` and loggers work on either (add groups and load states here, not in the base). Each group
    holds its own ``rho`` and the geometry's options; a group with ``rho = 0`` neither moves nor counts in the norm.

    Three ways to take a step::

        opt.step(closure)                  # the closure clears gradients, computes the loss, calls backward, returns it

        loss(model).backward()             # by hand: accumulation, clipping, DDP, ...
        with opt.perturbed():
            loss(model).backward()
        opt.descend()                      # or, with torch.amp.GradScaler: scaler.step(opt)

        opt.step(closure, scaler=scaler)   # mixed precision: the closure calls scaler.scale(loss).backward()

    A step whose gradient is not finite in any pass is skipped whole and counted in ``skipped_steps`` (except where
    ``scaler.step(opt)`` itself skips: it then does not call this optimizer at all).

    Args:
        params: parameters or parameter groups, as for any optimizer.
        base: an optimizer class (its options follow as keywords, e.g. ``lr``) or an instance over the same parameters.
        rho: radius of the neighbourhood in the geometry's norm, at least 0.
        geometry: the metric; default :class:`~gsam.optim.Euclidean`.
        module: the model. Needed only if it runs inside code compiled by ``torch.compile`` (running statistics are then
            held by name) or if ``ascent="local"``; otherwise the modules that run are noticed by themselves.
        ascent: under ``DistributedDataParallel``, ``"global"`` climbs along the averaged gradient, ``"local"`` lets
            each process climb along its own, exchanging one flag only (``module`` is then the DDP module, or a
            :class:`gsam.distributed.Replica`).
        replay_rng: whether the passes of one ``step(closure)`` see the same torch random numbers, hence the same
            dropout masks and the same batch if the closure samples one.
        max_grad_norm: clip the final gradient (the one the base uses) to this Euclidean norm. Clipping the first pass
            would be pointless: only its direction counts.
        **base_options: passed to ``base`` when it is a class.

    Raises:
        ValueError: ``rho`` is negative or not finite, ``max_grad_norm`` is not positive, or the base instance has other
            parameters.
        TypeError: the base is no optimizer, or needs a closure itself (such as L-BFGS).
    """

    #: whether the update uses the gradient of the first pass beside the direction it gives
    keeps_ascent_gradient = False
    #: whether it decides by the gradient of the first pass what the step is
    decides_by_ascent_gradient = False
    #: the numbers of the optimizer's own that its state holds
    counters: tuple[str, ...] = ("skipped_steps",)

    def __init__(
        self,
        params: Iterable[Any],
        base: type[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        rho: float = 0.05,
        geometry: Geometry | None = None,
        module: nn.Module | None = None,
        ascent: Literal["global", "local"] = "global",
        replay_rng: bool = True,
        max_grad_norm: float | None = None,
        **base_options: Any,
    ) -> None:
        self.geometry = geometry if geometry is not None else Euclidean()
        self.base = base_optimizer(params, base, base_options)
        options = {"rho": rho, **self.geometry.options, **self._group_options()}
        super().__init__(self.base.param_groups, {**self.base.defaults, **options})
        self._share()
        for group in self.param_groups:
            self._check_group(group)
        self.set_ascent(ascent, module)
        self.replay_rng, self.max_grad_norm = replay_rng, check_max_grad_norm(max_grad_norm)
        self.skipped_steps = 0
        self.shards = WHOLE
        self.variant_state: dict[Tensor, dict[str, Tensor]] = {}
        self._sites: list[Site] | None = None  # what is perturbed now; None: nothing is
        self._ascended = False  # the step under way, one by hand, has made its ascent
        self._abandoned = False  # and this was not finite
        self._outside = False  # the first pass of its closure added to gradients from elsewhere
        self._cleared = False  # or set all of them to 0 before
        self._left: Tensor | None = None  # a gradient that the last step left behind, until the next one begins
        self._origins: list[list[Tensor]] = []
        self._scratch = Scratch()
        self._ascent_gradient: dict[Tensor, Tensor] = {}

    def _group_options(self) -> dict[str, Any]:
        """Hyper-parameters a variant adds to every group, with their defaults."""
        return {}

    def set_ascent(self, ascent: str, module: nn.Module | None) -> None:
        """Choose ``ascent`` and ``module``, which are described above, after the optimizer was made.

        Raises:
            ValueError: the ascent is unknown, or a local one is not possible with this module or this optimizer.
        """
        uses = self.keeps_ascent_gradient or self.decides_by_ascent_gradient
        self.module, self.ascent_scope = module, check_scope(ascent, module, uses)
        if ascent == "local" and any(map(self.geometry.carries_back, self.param_groups)):
            raise ValueError(
                "expected ascent='global', or transport=False: each process would carry the averaged gradient back "
                "from a point of its own, and their weights would part"
            )

    def set_shards(self, shards: Shards) -> None:
        """Say which parameters are rows of tables that several processes hold between them.

        All processes then take the same steps: the radius, clipping and the skipping of a step go by joint norms.

        Raises:
            ValueError: this optimizer, or its geometry, goes by more than norms over all parameters; or a group has
                shards and other parameters.
        """
        if shards and (
            self.keeps_ascent_gradient or any(group.get("per") == "parameter" for group in self.param_groups)
        ):
            raise ValueError(
                "expected an optimizer that goes by norms over all parameters, or single rows, for tables that are "
                f"split over processes, found {type(self).__name__} that compares gradients, or per='parameter'"
            )
        for group in self.param_groups:
            shards.holds(group["params"])
        self.shards = shards

    def _check_group(self, group: dict[str, Any]) -> None:
        check_rho(group["rho"])
        self.geometry.check(group)

    # -- one step -----------------------------------------------------------------------------------------------------

    @torch._disable_dynamo  # a compiled step would lose count of the passes, whose weights move under the same names
    def step(self, closure: Closure | None = None, *, scaler: torch.amp.GradScaler | None = None) -> Any:
        """Take one step and return the loss at the unperturbed weights.

        Args:
            closure: clears the gradients, computes the loss, calls ``backward`` and returns the loss. It is called at
                the current weights and, unless every ``rho`` is 0, once more at the perturbed ones (variants that do
                otherwise say so). Without a closure the call ends a step made by hand, as :meth:`descend` does; so it
                does with a closure that computes nothing, as Lightning passes, which is called once.
            scaler: the ``GradScaler`` whose ``scale(loss).backward()`` the closure calls; the caller then calls
                ``scaler.update()``.

        Raises:
            RuntimeError: there is no closure, and no ascent was made by hand; or the closure computes gradients though
                one was; or it adds to gradients computed elsewhere, or leaves none at the perturbed weights.
            TypeError: there is no closure, and this optimizer needs one.
        """
        if closure is None or self._ascended:
            return self._end_by_hand(closure, scaler)
        with self.geometry.under(scaler):
            loss = self._passes(closure, scaler)
        self.descend(scaler)
        return loss

    def _passes(self, closure: Closure, scaler: torch.amp.GradScaler | None) -> Any:
        """Leave the gradient to descend with in ``p.grad``, the weights where they were, and return the loss there."""
        climbs = self._climbs()
        random_state = self._random_state() if climbs else None
        loss = self._evaluate(closure, synchronise=not (climbs and self.ascent_scope == "local"))
        if not climbs:
            self._abandoned = False
        elif self.ascend():
            self._at_perturbed(closure, random_state)
        return loss

    def _end_by_hand(self, closure: Closure | None, scaler: torch.amp.GradScaler | None) -> None:
        self._check_by_hand()
        if self._climbs() and not self._ascended:
            raise RuntimeError(
                "expected an ascent before step() without a closure, found none, so this would be a plain step of the "
                "base; call step(closure), or make the second pass in `with opt.perturbed():`, or call opt.descend()"
            )
        before = self._a_gradient()
        if closure is not None:  # engines such as Lightning run their hooks in one that computes nothing
            closure()
        if self._a_gradient() is not before:
            self._ascended = self._abandoned = False
            raise RuntimeError(
                "expected the end of the step whose ascent was made by hand, found a closure that computes gradients; "
                "end that step by opt.descend(), or by step() without a closure, before the next step(closure)"
            )
        self.descend(scaler)

    def _check_by_hand(self) -> None:
        """Refuse a step made by hand. For variants whose passes only a closure can make."""

    def _climbs(self) -> bool:
        return any(group["rho"] > 0 for group in self.param_groups)

    def _random_state(self) -> RandomState | None:
        return RandomState(self._parameters()) if self.replay_rng else None

    def _evaluate(self, closure: Closure, *, synchronise: bool = True) -> Any:
        averaging = nullcontext() if synchronise else self.module.no_sync()  # type: ignore[union-attr,operator]
        before = self._a_gradient()
        foreign = before is not None and before is not self._left and bool(values(before).any())
        self._left, self._cleared = None, False
        self._ascended = False  # by hand, that is
        with torch.enable_grad(), averaging:
            loss = closure()
        self._outside = foreign and before is self._a_gradient() and not self._cleared
        return loss

    def _evaluate_again(self, closure: Closure, random_state: RandomState | None, *, synchronise: bool = True) -> Any:
        """A further pass of the same step: the same random numbers, and running statistics stay as they are."""
        with nullcontext() if random_state is None else random_state.replayed(), held_statistics(self.module):
            return self._evaluate(closure, synchronise=synchronise)

    def _at_perturbed(self, closure: Closure, random_state: RandomState | None) -> Any:
        """Run ``closure`` with statistics held and dropout replayed, then come back to the original weights."""
        climbed = any(site.points for site in self._sites or ())
        with self._returning():
            if self._outside:
                raise RuntimeError(
                    "expected a closure that computes the whole gradient, found one that adds to gradients computed "
                    "outside it, which would be missing at the perturbed weights; clear the gradients in the closure, "
                    "and accumulate in it too ('Gradient accumulation' in docs/loops.md)"
                )
            loss = self._evaluate_again(closure, random_state)
            if climbed and self._a_gradient() is None:
                raise RuntimeError(
                    "expected a closure that computes gradients each time it is called, found none after its call at "
                    "the perturbed weights; call backward() in the closure"
                )
            return loss

    @contextmanager
    def _returning(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._restore()
            self._ascent_gradient = {}
            self._ascended = self._abandoned = False
            raise
        self._land()

    # -- the pieces, for loops written by hand ------------------------------------------------------------------------

    @torch._disable_dynamo
    def perturbed(self) -> AbstractContextManager[SharpnessAware]:
        """Climb along the current gradients, clear them, run the block at the perturbed weights, and come back.

        After the block ``p.grad`` holds the gradient for the base optimizer (still scaled, if the loss was), so it can
        be clipped or unscaled before :meth:`descend`. The weights are restored even if the block raises. If a gradient
        is not finite the weights stay where they are and the gradients are kept, so that the step will be skipped.

        Raises:
            TypeError: this optimizer needs a closure, as its passes cannot be made by hand.
        """
        self._check_by_hand()
        return self._perturbed()

    @contextmanager
    def _perturbed(self) -> Iterator[SharpnessAware]:
        self.ascend()
        with self._returning(), held_statistics(self.module):
            yield self

    @property
    def is_perturbed(self) -> bool:
        """Whether the weights are the perturbed ones, as in the second call of a closure: not the time to log."""
        return self._sites is not None

    @torch._disable_dynamo
    @torch.no_grad()
    def ascend(self) -> bool:
        """Move to the perturbed weights along the gradients in ``p.grad`` and clear these.

        Returns:
            Whether the weights are now perturbed. ``False`` if a gradient is not finite: nothing moves, the gradients
            stay, and the next :meth:`descend` skips the step.

        Raises:
            RuntimeError: the weights are perturbed already.
        """
        if self._sites is not None:
            raise RuntimeError("expected unperturbed weights, found ascend() called twice; call descend() in between")
        sites = self._find_sites()
        length = self._dual_norm(sites)
        self._ascended, self._abandoned = True, not self._agree(math.isfinite(length))
        if self._abandoned:
            self.skipped_steps += 1
            return False
        self._origins = [self._scratch.copy(f"origin {i}", site.points) for i, site in enumerate(sites)]
        self._sites = sites
        try:
            self._move(length)
        except BaseException:
            self._restore()
            self._ascended = False
            raise
        if self.keeps_ascent_gradient:  # copies: DDP may hand out views of buffers that the next pass fills
            self._ascent_gradient = self._scratch.copy_values("climb", self._gradients())
        self._clear_gradients()
        return True

    @torch._disable_dynamo
    def descend(self, scaler: torch.amp.GradScaler | None = None) -> bool:
        """Come back to the original weights if perturbed, and let the base optimizer step with ``p.grad``.

        Args:
            scaler: unscales the gradients, and learns whether they are finite. After a ``scaler.unscale_(opt)`` of
                your own, call ``scaler.step(opt)`` instead.

        Returns:
            Whether the base optimizer stepped; ``False`` if a gradient was not finite.
        """
        if self._sites is not None:
            self._land()
        self._left = self._a_gradient()
        self._opt_called = True  # what lr_scheduler.step() looks for, to warn if it came first
        if scaler is not None:
            scaler.unscale_(self)  # also records for scaler.update() whether the gradients are finite
        abandoned, self._ascended, self._abandoned = self._abandoned, False, False
        if abandoned:  # and counted
            return False
        if not self._clip(self._gradient_norm()):
            self.skipped_steps += 1
            return False
        with kept_gradients(self.base):
            self.base.step()
        return True

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _gradients(self) -> dict[Tensor, Tensor]:
        return {p: p.grad for p in self._parameters() if p.grad is not None}

    def _a_gradient(self) -> Tensor | None:
        """The last parameter's that has one: by its identity one sees whether gradients were cleared or added to."""
        return next((p.grad for p in reversed(self._parameters()) if p.grad is not None), None)

    def _find_sites(self) -> list[Site]:
        resting = self.geometry.resting(self.param_groups)
        return [find_site(group, resting) for group in self.param_groups if group["rho"] > 0]

    def _dual_norm(self, sites: list[Site]) -> float:
        """Norm over the sites of the ball with one host synchronisation; NaN if any gradient is not finite."""
        climbing = [site for site in sites if site.points]
        moving = {param for site in climbing for param in site.params}
        still = {param: values(grad) for param, grad in self._gradients().items() if param not in moving}
        squares = [self.geometry.squared_dual_norm(site) for site in climbing]
        squares = self.shards.joined(squares, [self.shards.holds(site.params) for site in climbing])
        found = host(*squares, self.shards.squared_norm(still))
        if not all(map(math.isfinite, found)):
            return math.nan
        square = sum(s for s, site in zip(found, climbing, strict=False) if self.geometry.shares_ball(site.group))
        least = least_square([point for site in sites for point in site.points])
        return 0.0 if square < least else math.sqrt(square)  # below, squares of the entries have underflown

    def _agree(self, finite: bool) -> bool:
        """Under a local ascent the processes must skip together, or the next collective waits for ever."""
        if self.ascent_scope == "global":
            return finite
        flag = torch.tensor(float(finite), device=self._parameters()[0].device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MIN)
        if finite and not flag:  # a GradScaler must see it on every process, or their scales part
            for param in self._parameters():
                if param.grad is not None:
                    param.grad.mul_(math.nan)
        return bool(flag)

    def _move(self, length: float) -> None:
        for site in self._sites or ():
            if site.points:
                self.geometry.climb(site, length)
            write_rows(site)

    @torch._disable_dynamo
    @torch.no_grad()
    def _land(self) -> None:
        """Pull the new gradients back, restore the weights, and combine the gradients of the passes."""
        moved = self._sites is not None
        try:
            for site, origin in zip(self._sites or (), self._origins, strict=True):
                self.geometry.pull_back(site, origin)
        finally:
            self._restore()
        if moved and self.keeps_ascent_gradient:
            self._combine(self._ascent_gradient)
            self._ascent_gradient = {}

    def _combine(self, ascent_gradient: dict[Tensor, Tensor]) -> None:
        """Make ``p.grad`` the gradient to descend with, given that of the first pass. For variants that need it."""

    @torch._disable_dynamo
    @torch.no_grad()
    def _restore(self) -> None:
        sites, self._sites = self._sites or [], None
        for site, origin in zip(sites, self._origins, strict=True):
            if site.points:
                torch._foreach_copy_(site.points, origin)
            write_rows(site)
        self._origins = []

    def _clear_gradients(self) -> None:
        for parameter in self._parameters():
            parameter.grad = None

    def _take_gradients(self, name: str) -> dict[Tensor, Tensor]:
        """Copies, as the next pass may fill the same memory again (views of DDP's buckets), and no gradients left."""
        taken = self._scratch.copy_values(name, self._gradients())
        self._clear_gradients()
        return taken

    def _put_gradients(self, gradients: dict[Tensor, Tensor]) -> None:
        for param in self._parameters():
            param.grad = gradients.get(param)

    def _gradient_norm(self) -> float:
        entries = {param: values(grad) for param, grad in self._gradients().items()}
        return math.sqrt(host(self.shards.squared_norm(entries))[0])

    @torch.no_grad()
    def _clip(self, length: float) -> bool:
        """Clip a gradient of this norm to ``max_grad_norm``; say whether it is finite."""
        finite = math.isfinite(length)
        if finite and self.max_grad_norm is not None and length > self.max_grad_norm:
            for param in self._parameters():
                if param.grad is not None:
                    param.grad.mul_(self.max_grad_norm / length)
        return finite

    # -- groups, state, copies ----------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        super().zero_grad(set_to_none)
        self._cleared = True

    def _share(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the optimizer and to its base; ``rho`` and the geometry's options default as elsewhere."""
        shared = getattr(self, "param_groups", None) is self.base.param_groups
        if not shared:  # torch's constructor registers the base's groups
            super().add_param_group(param_group)
            return
        group = {**self._own_options(), **param_group}
        members = group["params"]
        if not isinstance(members, set):  # which torch refuses
            members = group["params"] = [members] if isinstance(members, Tensor) else list(members)
        self._check_group({**group, "params": [m[1] if isinstance(m, tuple) else m for m in members]})
        self.base.add_param_group(group)

    def _own_options(self) -> dict[str, Any]:
        """The group options that are ours, not the base's, with their defaults."""
        return {key: value for key, value in self.defaults.items() if key not in self.base.defaults}

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state and groups without their manifolds, and what this adds, as ``"sharpness"``."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        index = {p: i for i, p in enumerate(self._parameters())}
        own = {index[p]: dict(entries) for p, entries in self.variant_state.items()}
        packed = {**self.base.state_dict(), "sharpness": {"state": own, "counters": self._counted()}}
        for group in packed["param_groups"]:
            group.pop("manifold", None)  # a module, which only unsafe unpicklers load; groups keep the one they have
        for post_hook in self._optimizer_state_dict_post_hooks.values():
            packed = post_hook(self, packed) or packed
        return packed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave; training goes on bit for bit.

        A state of the base optimizer alone is accepted too: its moments are taken over and this optimizer starts fresh.
        """
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = hook(self, state_dict) or state_dict
        packed = dict(state_dict)
        sharpness = packed.pop("sharpness", {"state": {}, "counters": {}})
        options = [
            {k: v for k, v in group.items() if k not in self.base.defaults and k != "params"}
            for group in self.param_groups
        ]
        manifolds = [group.get("manifold") for group in self.param_groups]
        self.base.load_state_dict(packed)
        self._share()
        for group, manifold in zip(self.param_groups, manifolds, strict=True):
            if manifold is not None:
                group["manifold"] = manifold
        for group, old in zip(self.param_groups, options, strict=True):
            for key, value in old.items():
                group.setdefault(key, value)
        params = self._parameters()
        self.variant_state = {
            params[i]: {name: t.to(params[i]) for name, t in entries.items()}
            for i, entries in sharpness["state"].items()
        }
        for name in self.counters:
            setattr(self, name, sharpness["counters"].get(name, 0))
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def _counted(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in self.counters}

    def __getstate__(self) -> dict[str, Any]:
        # hooks and the step() that schedulers wrap are closures, which torch leaves out of copies too
        return {
            k: v for k, v in self.__dict__.items() if k != "step" and not k.startswith(("_optimizer_", "_zero_grad"))
        } | {"_left": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()
