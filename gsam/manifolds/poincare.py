"""The Poincare ball as a geoopt manifold."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from geoopt import ManifoldTensor
from geoopt.utils import size2shape
from torch import Tensor

from gsam.manifolds import poincare_math
from gsam.manifolds.hyperbolic import Hyperbolic


class PoincareBall(Hyperbolic):
    r"""The Poincare ball :math:`\|x\| < 1/\sqrt c`, ``d`` numbers a point.

    A ``geoopt.Manifold`` for ``geoopt.ManifoldParameter`` and Riemannian optimizers, over the functions of
    :mod:`gsam.manifolds.poincare_math`, whose docstring says how accurate it is where. Points are kept within
    :meth:`max_radius` (13.2 in float32 for ``c = 1``); a checked :meth:`expmap` raises where the result lies beyond,
    :meth:`retr` puts it back. As in geoopt, tangent vectors are in the coordinates of the ball: at the origin ``u``
    has the length ``2 |u|``, in :meth:`expmap0` and :meth:`logmap0` too.

    Args:
        c: minus the curvature, finite and above 0.
        learnable: see :class:`Hyperbolic`.
        checked: see :class:`Hyperbolic`.

    Shapes:
        points, tangent vectors and :meth:`coordinates` ``(..., d)``; leading dimensions broadcast.
    """

    name = "PoincareBall"
    _maths: ClassVar[Any] = poincare_math

    def projx(self, x: Tensor) -> Tensor:
        """``x``, put back along its ray if it is beyond :meth:`max_radius`."""
        return poincare_math.project(x, self.c)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """``u``: every vector is a tangent vector."""
        return u.expand(torch.broadcast_shapes(x.shape, u.shape))

    def mobius_add(self, x: Tensor, y: Tensor) -> Tensor:
        """Moebius addition, put back as :meth:`projx` does."""
        return poincare_math.project(poincare_math.mobius_add(x, y, self.c), self.c)

    def lambda_x(self, x: Tensor, *, keepdim: bool = False) -> Tensor:
        """The conformal factor."""
        return poincare_math.conformal_factor(x, self.c, keepdim=keepdim)

    def origin(
        self,
        *size: Any,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The centre of the ball, repeated to the shape ``size``; ``seed`` is not used."""
        zeros = torch.zeros(size2shape(*size), dtype=dtype or self.dtype, device=device or self.device)
        return ManifoldTensor(zeros, manifold=self)

    def _unbounded(self, x: Tensor, u: Tensor) -> Tensor:
        return poincare_math.unbounded_expmap(x, u, self.c)

    def _unbounded0(self, u: Tensor) -> Tensor:
        return poincare_math.unbounded_expmap0(u, self.c)

    def _in_range(self, x: Tensor) -> Tensor:
        if self._looks(x):
            reach = torch.linalg.vector_norm(x.detach(), dim=-1) * self._number() ** 0.5
            self._assert_range(reach <= 1 - poincare_math.margin(x.dtype) / 2, x)
        return poincare_math.project(x, self.c)

    def _frame_shape(self, shape: Any) -> tuple[int, ...]:
        return tuple(shape)

    @torch.no_grad()
    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        reach = (torch.linalg.vector_norm(x, dim=-1) * self.c**0.5).max()
        ok = bool(reach <= 1 - poincare_math.margin(x.dtype) / 2)
        return ok, None if ok else f"expected sqrt(c) |x| < 1, found {float(reach):.9g}; projx() puts points back"

    @torch.no_grad()
    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        ok = bool(u.isfinite().all())
        return ok, None if ok else "expected finite numbers"
