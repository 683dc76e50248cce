"""The hyperboloid as a geoopt manifold."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from geoopt import ManifoldTensor
from geoopt.utils import size2shape
from torch import Tensor

from gsam.manifolds import lorentz_math
from gsam.manifolds.hyperbolic import Hyperbolic
from gsam.manifolds.rows import dot


class Lorentz(Hyperbolic):
    r"""The Lorentz model: :math:`\langle x, x\rangle_L = -1/c`, time at index 0, ``d + 1`` numbers a point.

    A ``geoopt.Manifold`` for ``geoopt.ManifoldParameter`` and Riemannian optimizers, over the functions of
    :mod:`gsam.manifolds.lorentz_math`, whose docstring says how accurate it is where. The time coordinate of every
    point returned is computed from its space coordinates; that of a tangent vector follows from the others, and no
    method but :meth:`proju` goes by it. geoopt's ``Lorentz(k)`` is ``Lorentz(c=1 / k)``; unlike there,
    :meth:`expmap0` takes and :meth:`logmap0` returns the ``d`` space coordinates of a tangent vector at the origin.

    Args:
        c: minus the curvature, finite and above 0.
        learnable: see :class:`Hyperbolic`.
        checked: see :class:`Hyperbolic`.

    Shapes:
        points and tangent vectors ``(..., d + 1)``, :meth:`coordinates` ``(..., d)``; leading dimensions broadcast.
    """

    name = "Lorentz"
    _maths: ClassVar[Any] = lorentz_math

    def projx(self, x: Tensor) -> Tensor:
        """The point with the same space coordinates."""
        return lorentz_math.lift(x[..., 1:], self.c)

    def proju(self, x: Tensor, u: Tensor) -> Tensor:
        """Orthogonal projection of any vector to the tangent space at ``x``."""
        return lorentz_math.project_tangent(x, u, self.c)

    def retr_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`retr`, and ``v`` transported along it, in one pass."""
        return lorentz_math.expmap_transport(x, u, v, self.c)

    def expmap_transp(self, x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`expmap`, and ``v`` transported along it, in one pass."""
        y, carried = lorentz_math.expmap_transport(x, u, v, self.c)
        return self._in_range(y), carried

    def origin(
        self,
        *size: Any,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = None,
    ) -> Tensor:
        r"""The point :math:`(1/\sqrt c, 0, \ldots, 0)`, repeated to the shape ``size``; ``seed`` is not used."""
        shape = size2shape(*size)
        self._assert_check_shape(shape, "x")
        space = torch.zeros(self._frame_shape(shape), dtype=dtype or self.dtype, device=device or self.device)
        with torch.no_grad():
            return ManifoldTensor(lorentz_math.lift(space, self.c).to(space.dtype), manifold=self)

    def to_poincare(self, x: Tensor) -> Tensor:
        """The same points in the Poincare ball of the same curvature, shape ``(..., d)``."""
        return lorentz_math.to_poincare(x, self.c)

    def from_poincare(self, p: Tensor) -> Tensor:
        """Points of the Poincare ball of the same curvature in this model, shape ``(..., d + 1)``."""
        return lorentz_math.from_poincare(p, self.c)

    def _unbounded(self, x: Tensor, u: Tensor) -> Tensor:
        return lorentz_math.expmap(x, u, self.c)

    def _unbounded0(self, u: Tensor) -> Tensor:
        return lorentz_math.expmap0(u, self.c)

    def _in_range(self, x: Tensor) -> Tensor:
        if self._looks(x):
            c = self._number()
            most = math.cosh(math.sqrt(c) * self.max_radius(x.dtype)) / math.sqrt(c)
            self._assert_range(x.detach()[..., 0] <= most * (1 + 1e-6), x)
        return x

    def _frame_shape(self, shape: Any) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)

    def _check_shape(self, shape: Any, name: str) -> tuple[bool, str | None]:
        ok = len(shape) >= 1 and shape[-1] >= 2
        return ok, None if ok else f"expected {name} of shape (..., d + 1) with d >= 1, found {tuple(shape)}"

    @torch.no_grad()
    def _check_point_on_manifold(self, x: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5) -> tuple[bool, str | None]:
        time = self.projx(x)[..., 0]
        off = ((x[..., 0] - time).abs() / time).max()
        ok = bool(off <= atol + rtol) and bool(time.isfinite().all())
        return ok, None if ok else f"the time coordinate is off by {float(off):.3g} of itself; projx() recomputes it"

    @torch.no_grad()
    def _check_vector_on_tangent(
        self, x: Tensor, u: Tensor, *, atol: float = 1e-5, rtol: float = 1e-5
    ) -> tuple[bool, str | None]:
        size = (dot(x, x) * dot(u, u)).sqrt().squeeze(-1)
        off = (lorentz_math.inner(x, u).abs() - (atol + rtol) * size).max()
        ok = bool(off <= 0)
        return ok, None if ok else "the Minkowski product with the point is not zero; proju() makes it so"
