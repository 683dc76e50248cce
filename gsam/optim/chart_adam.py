"""Adam in the space coordinates of the hyperboloid."""

from __future__ import annotations

import math
from typing import Any

import geoopt
from torch import Tensor

from gsam.manifolds import Lorentz, lorentz_math
from gsam.optim.bases import curved_manifold
from gsam.optim.lorentz_sam import curvature
from gsam.optim.riemannian_adam import RiemannianAdam
from gsam.optim.riemannian_base import Patch


class ChartAdam(RiemannianAdam):
    r"""Adam on the space coordinates of points of the hyperboloid, which are a chart of all of it.

    With :math:`e_i = \partial f / \partial x_i` the derivatives along the space coordinates, time following as
    :math:`x_0 = \sqrt{1/c + |x_{1:}|^2}`,

    .. math:: x_{1:} \leftarrow x_{1:} - \mathrm{lr}\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
        m, v \text{ the moments of } e, \text{ one per coordinate,}

    and no transport: the moments live in the chart. So this is ``torch.optim.Adam`` for a model that has nothing but
    space coordinates, with points that stay on their manifold and covectors from anywhere, such as Riemannian SAM's.
    :class:`RiemannianAdam`, in contrast, does not depend on the coordinates: it has one second moment per point, and
    shorter steps along the radius far from the origin. Which one learns better is a matter of the data. Plain
    parameters, row-sparse gradients and the arguments are as there, except ``retraction`` and ``stabilize``, which have
    nothing to do here.

    Raises:
        ValueError: as :class:`RiemannianAdam`, or a parameter is on another curved manifold.
    """

    tangents: tuple[str, ...] = ()

    def _check_group(self, group: dict[str, Any]) -> None:
        super()._check_group(group)
        for param in group["params"]:
            manifold = curved_manifold(group, param)
            if not isinstance(manifold, (Lorentz, geoopt.Lorentz, type(None))):
                raise ValueError(
                    f"expected plain parameters and points on a Lorentz manifold, found one on {manifold}; "
                    "RiemannianAdam takes all manifolds"
                )

    def _advance(self, group: dict[str, Any], patch: Patch) -> Tensor:
        if patch.manifold is None:
            return super()._advance(group, patch)
        points, found = patch.points, patch.gradient
        # lowered to a covector, and the one of its kind that has no part along time
        slope = found.addcmul(found[..., :1] / points[..., :1], points, value=-1)
        slope[..., 0] = 0
        moved = points + self._step(group, patch, slope)
        return lorentz_math.lift(moved[..., 1:], curvature(patch.manifold, points))

    def _step(self, group: dict[str, Any], patch: Patch, slope: Tensor) -> Tensor:
        (beta1, beta2), state = group["betas"], patch.state
        if "exp_avg" not in state:
            state.update(exp_avg=patch.zeros(slope), exp_avg_sq=patch.zeros(slope))
        taken = float(state["step"])
        mean = patch.take(state["exp_avg"]).lerp_(slope, 1 - beta1)
        square = patch.take(state["exp_avg_sq"]).mul_(beta2).addcmul_(slope, slope, value=1 - beta2)
        patch.put(state["exp_avg"], mean)
        patch.put(state["exp_avg_sq"], square)
        if group["amsgrad"]:
            square = self._largest(patch, square)
        size = square.sqrt().div_(math.sqrt(1 - beta2**taken)).add_(group["eps"])
        return mean.div(size).mul_(-float(group["lr"]) / (1 - beta1**taken))
