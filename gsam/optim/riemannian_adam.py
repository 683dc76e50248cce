"""Adam and AMSGrad on Riemannian manifolds, for dense and row-sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from gsam.optim.riemannian_base import Patch, RiemannianOptimizer, count


class RiemannianAdam(RiemannianOptimizer):
    r"""Adam whose first moment travels with the point, and whose second moment is one number per factor manifold.

    With :math:`g_t` the Riemannian gradient at the point :math:`x_t`, :math:`\tau` the transport along the step:

    .. math::
        m_t &= \beta_1 \tau_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) \|g_t\|_{x_t}^2, \\
        u_t &= -\mathrm{lr}\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{\hat v_t / (1 - \beta_2^t)} + \epsilon}, \qquad
        x_{t+1} = \exp_{x_t}(u_t), \qquad \tau_t = P_{x_t \to x_{t+1}}(m_t)

    (Becigneul & Ganea, *Riemannian Adaptive Optimization Methods*, ICLR 2019), with Adam's bias corrections, which the
    paper leaves out; :math:`\hat v_t = v_t`, or :math:`\max(\hat v_{t-1}, v_t)` with ``amsgrad``. A parameter of shape
    ``(..., point)`` holds as many points as its leading dimensions say, and each point is one factor: :math:`v` has
    shape ``(..., 1)`` and sums the squared norm over the whole point. The points of a ``geoopt.ProductManifold`` have
    a :math:`v` per factor, as with ``geoopt.optim.RiemannianAdam``, which stores the same numbers repeated over all
    coordinates. Plain parameters (and ``geoopt.Euclidean``) have one per coordinate: the step is that of
    ``torch.optim.Adam``.

    Row-sparse gradients (``sparse_dim`` 1, as from ``nn.Embedding(sparse=True)``) move the rows they touch and leave
    all others and their moments alone, as ``torch.optim.SparseAdam`` does; one count of steps serves all rows.
    (``SparseAdam`` adds :math:`\epsilon` to the uncorrected root; here dense and sparse gradients share one formula.)
    A parameter may have a dense gradient in one step and a sparse one in the next.

    ``p.grad`` is never written to. A step inside a function given to ``torch.compile`` runs uncompiled.

    Args:
        params: parameters or parameter groups; a group may hold a ``"manifold"`` for all its parameters.
        lr: learning rate: about the geodesic length of a step.
        betas: decay of the first and of the second moment, each in [0, 1).
        eps: added to the root of the second moment.
        weight_decay: this times the parameter is added to the ambient gradient, an L2 penalty on the coordinates; with
            a row-sparse gradient, on those of the touched rows.
        amsgrad: whether to divide by the largest second moment so far.
        maximize: whether to climb.
        manifold: the manifold of groups that have no other.
        retraction: whether steps follow the manifold's retraction and vector transport, which can be cheaper, in place
            of its exponential map and parallel transport.
        stabilize: project the points back to the manifold, and the moments to its tangent spaces, once in so many
            steps. ``None`` is right for gsam's manifolds, whose points do not drift.

    Raises:
        ValueError: an option is out of its range, or a parameter's shape is not one of points of its manifold.
        TypeError: a manifold is no ``geoopt.Manifold``, or a parameter is complex.
    """

    tangents: tuple[str, ...] = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        manifold: Any = None,
        retraction: bool = False,
        stabilize: int | None = None,
    ) -> None:
        if not eps >= 0:
            raise ValueError(f"expected eps >= 0, found {eps}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"expected betas in [0, 1), found {betas}")
        options = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        where = {"manifold": manifold, "retraction": retraction, "stabilize": stabilize}
        super().__init__(params, {**options, "maximize": maximize, **where})

    def _begin(self, state: dict[str, Tensor]) -> None:
        state.setdefault("step", count()).add_(1)

    def _advance(self, group: dict[str, Any], patch: Patch) -> Tensor:
        step, mean = self._step(group, patch, patch.gradient, patch.squared_gradients())
        points, mean = patch.move_with(step, mean)
        patch.put(patch.state["exp_avg"], mean)
        return points

    def _step(self, group: dict[str, Any], patch: Patch, gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        """The step, and the first moment, which is not written back yet."""
        (beta1, beta2), state = group["betas"], patch.state
        if "exp_avg" not in state:
            state.update(exp_avg=patch.zeros(gradient), exp_avg_sq=patch.zeros(squares))
        taken = float(state["step"])
        mean = patch.take(state["exp_avg"]).lerp_(gradient, 1 - beta1)
        square = patch.take(state["exp_avg_sq"]).mul_(beta2).add_(squares, alpha=1 - beta2)
        patch.put(state["exp_avg_sq"], square)
        if group["amsgrad"]:
            square = self._largest(patch, square)
        size = square.sqrt().div_(math.sqrt(1 - beta2**taken)).add_(group["eps"])
        return mean.div(size).mul_(-float(group["lr"]) / (1 - beta1**taken)), mean

    @staticmethod
    def _largest(patch: Patch, square: Tensor) -> Tensor:
        """The largest second moment so far: without bias correction, which differs from step to step."""
        if "max_exp_avg_sq" not in patch.state:
            patch.state["max_exp_avg_sq"] = patch.zeros(square)
        largest = torch.maximum(patch.take(patch.state["max_exp_avg_sq"]), square)
        patch.put(patch.state["max_exp_avg_sq"], largest)
        return largest

    def _advance_plain(self, group: dict[str, Any], params: list[Tensor], states: list[dict[str, Tensor]]) -> None:
        amsgrad = bool(group["amsgrad"])
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if amsgrad else 2]
        for param, state in zip(params, states, strict=True):
            state.setdefault("step", count())
            for name in names:
                if name not in state:
                    state[name] = torch.zeros_like(param)
        grads = [param.grad for param in params if param.grad is not None]
        fused = all(map(fusible, params, grads))
        adam(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if amsgrad else [],
            [state["step"] for state in states],
            foreach=not fused,
            fused=fused,
            amsgrad=amsgrad,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=float(group["lr"]),
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def fusible(param: Tensor, grad: Tensor) -> bool:
    """Whether torch's one kernel can take it: it wants the count of steps beside the parameter, and reads both flat."""
    return param.is_cpu and param.is_contiguous() and grad.is_contiguous() and param.is_floating_point()
