"""Stochastic gradient descent with momentum on Riemannian manifolds, for dense and row-sparse gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim.sgd import sgd

from gsam.optim.riemannian_base import Patch, RiemannianOptimizer


class RiemannianSGD(RiemannianOptimizer):
    r"""Gradient descent along geodesics, with a momentum that travels with the point.

    With :math:`g_t` the Riemannian gradient at the point :math:`x_t`, :math:`\mu` the momentum, :math:`d` the
    dampening and :math:`P` the transport along the step:

    .. math::
        b_t = \mu \tau_{t-1} + (1 - d) g_t, \qquad x_{t+1} = \exp_{x_t}(-\mathrm{lr}\, b_t), \qquad
        \tau_t = P_{x_t \to x_{t+1}}(b_t)

    (Bonnabel, *Stochastic Gradient Descent on Riemannian Manifolds*, IEEE TAC 2013, with torch's momentum). The first
    :math:`b` is the Riemannian gradient itself, without dampening, as in ``torch.optim.SGD``; ``nesterov`` steps along
    :math:`g_t + \mu b_t`. On plain parameters (and ``geoopt.Euclidean``) the step is ``torch.optim.SGD``'s.

    Row-sparse gradients (``sparse_dim`` 1, as from ``nn.Embedding(sparse=True)``) move the rows they touch and leave
    all others and their momentum alone. A row that is not touched in the parameter's first step counts as having had
    the gradient 0 there, so its first gradient is dampened. A parameter may have a dense gradient in one step and a
    sparse one in the next.

    ``p.grad`` is never written to. A step inside a function given to ``torch.compile`` runs uncompiled.

    Args:
        params: parameters or parameter groups; a group may hold a ``"manifold"`` for all its parameters.
        lr: learning rate.
        momentum: factor :math:`\mu \ge 0`; 0 keeps no state.
        dampening: :math:`d`.
        weight_decay: this times the parameter is added to the ambient gradient, an L2 penalty on the coordinates; with
            a row-sparse gradient, on those of the touched rows.
        nesterov: Nesterov's momentum; needs a momentum and no dampening.
        maximize: whether to climb.
        manifold: the manifold of groups that have no other.
        retraction: whether steps follow the manifold's retraction and vector transport, which can be cheaper, in place
            of its exponential map and parallel transport.
        stabilize: project the points back to the manifold, and the momentum to its tangent spaces, once in so many
            steps. ``None`` is right for gsam's manifolds, whose points do not drift.

    Raises:
        ValueError: an option is out of its range, or a parameter's shape is not one of points of its manifold.
        TypeError: a manifold is no ``geoopt.Manifold``, or a parameter is complex.
    """

    tangents = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        manifold: Any = None,
        retraction: bool = False,
        stabilize: int | None = None,
    ) -> None:
        if not momentum >= 0:
            raise ValueError(f"expected momentum >= 0, found {momentum}")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"expected momentum > 0 and dampening = 0 for nesterov, found momentum = {momentum}, "
                f"dampening = {dampening}"
            )
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov}
        where = {"manifold": manifold, "retraction": retraction, "stabilize": stabilize}
        super().__init__(params, {**options, "weight_decay": weight_decay, "maximize": maximize, **where})

    def _advance(self, group: dict[str, Any], patch: Patch) -> Tensor:
        lr, momentum, gradient = float(group["lr"]), group["momentum"], patch.gradient
        if momentum == 0:
            return patch.move(gradient.mul(-lr))
        if "momentum_buffer" not in patch.state:
            patch.state["momentum_buffer"] = patch.zeros(gradient)
        velocity = gradient
        if not patch.fresh:
            velocity = patch.take(patch.state["momentum_buffer"])
            velocity.mul_(momentum).add_(gradient, alpha=1 - group["dampening"])
        direction = gradient.add(velocity, alpha=momentum) if group["nesterov"] else velocity
        points, velocity = patch.move_with(direction.mul(-lr), velocity)
        patch.put(patch.state["momentum_buffer"], velocity)
        return points

    def _advance_plain(self, group: dict[str, Any], params: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        momenta = [state.get("momentum_buffer") for state in states]
        gradients = [param.grad for param in params if param.grad is not None]
        if group["nesterov"]:  # torch adds the momentum to what it is given
            gradients = [gradient.clone() for gradient in gradients]
        sgd(
            params,
            gradients,
            momenta,
            foreach=True,
            **{key: group[key] for key in ("momentum", "dampening", "nesterov", "weight_decay", "maximize")},
            lr=float(group["lr"]),
        )
        for state, buffer in zip(states, momenta, strict=True):
            if buffer is not None:
                state["momentum_buffer"] = buffer
