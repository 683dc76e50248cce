"""Adam in the space coordinates of the hyperboloid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from gsam.manifolds import lorentz_math
from gsam.optim.lorentz_sam import check_lorentz, curvature
from gsam.optim.riemannian_adam import RiemannianAdam, fusible
from gsam.optim.riemannian_base import Patch, count


class ChartAdam(RiemannianAdam):
    r"""Adam on the space coordinates of points of the hyperboloid, which are a chart of all of it.

    With :math:`e_i = \partial f / \partial x_i` the derivatives along the space coordinates, time following as
    :math:`x_0 = \sqrt{1/c + |x_{1:}|^2}`,

    .. math:: x_{1:} \leftarrow x_{1:} - \mathrm{lr}\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
        m, v \text{ the moments of } e, \text{ one per coordinate,}

    and no transport: the moments live in the chart. So this is ``torch.optim.Adam`` for a model that has nothing but
    space coordinates, with points that stay on their manifold and covectors from anywhere, such as Riemannian SAM's.
    :class:`RiemannianAdam`, in contrast, does not depend on the coordinates: it has one second moment per point, and
    shorter steps along the radius far from the origin. Which one learns better is a matter of the data.

    A row-sparse gradient of a table of points counts as the dense one it stands for: rows that it does not touch go on
    moving by their momenta. ``lazy=True`` leaves them and their moments alone, as all other optimizers here do, which
    costs less on tables of millions of rows. On plain parameters it is :class:`RiemannianAdam`.

    Args:
        params: parameters or parameter groups.
        lr: learning rate: about the length of a step along a coordinate.
        betas: decay of the first and of the second moment, each in [0, 1).
        eps: added to the root of the second moment.
        weight_decay: as :class:`RiemannianAdam`'s.
        amsgrad: whether to divide by the largest second moment so far.
        maximize: whether to climb.
        manifold: the manifold of groups that have no other.
        lazy: whether row-sparse gradients move the rows they touch only.

    Raises:
        ValueError: as :class:`RiemannianAdam`, or a parameter is on another curved manifold.
    """

    tangents: tuple[str, ...] = ()

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
        lazy: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, manifold=manifold)
        self.defaults["lazy"] = lazy
        for group in self.param_groups:
            group.setdefault("lazy", lazy)

    @property
    def moves_untouched_rows(self) -> bool:
        """Whether a row-sparse gradient moves rows that it does not touch."""
        return any(not group["lazy"] for group in self.param_groups)

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        check_lorentz(group, "RiemannianAdam")

    def _advance(self, group: dict[str, Any], patch: Patch) -> Tensor:
        if patch.manifold is None:
            return super()._advance(group, patch)
        points, found = patch.points, patch.gradient
        # lowered to a covector, and the one of its kind that has no part along time
        slope = found.addcmul(found[..., :1] / points[..., :1], points, value=-1)
        slope[..., 0] = 0
        if isinstance(patch.rows, Tensor) and not group["lazy"]:
            self._step_everywhere(group, patch, slope)
            return patch.take(patch.param)
        moved = points + self._chart_step(group, patch, slope)
        return lorentz_math.lift(moved[..., 1:], curvature(patch.manifold, points))

    def _step_everywhere(self, group: dict[str, Any], patch: Patch, slope: Tensor) -> None:
        """Move the whole table, by a covector that is 0 at the rows that are not touched."""
        param, state = patch.param, patch.state
        dense = torch.zeros_like(param)
        patch.put(dense, slope)
        whole = replace(patch, rows=None, points=param, gradient=dense)
        if "exp_avg" not in state:
            state.update(exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        if fusible(param, dense) and not group["amsgrad"]:
            adam(
                [param],
                [dense],
                [state["exp_avg"]],
                [state["exp_avg_sq"]],
                [],
                [count(float(state["step"]) - 1)],  # which the kernel counts on
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=float(group["lr"]),
                weight_decay=0.0,  # is in the gradient already, and so is the sign
                eps=group["eps"],
                maximize=False,
            )
        else:
            param.add_(self._chart_step(group, whole, dense))
        param.copy_(lorentz_math.lift(param[..., 1:], curvature(patch.manifold, param)))

    def _chart_step(self, group: dict[str, Any], patch: Patch, slope: Tensor) -> Tensor:
        step, mean = self._step(group, patch, slope, slope.square())
        patch.put(patch.state["exp_avg"], mean)
        return step
