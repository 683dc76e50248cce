"""What the two models of hyperbolic space share as geoopt manifolds: the curvature, the range, moves and sampling."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from geoopt import ManifoldTensor
from geoopt.manifolds.base import Manifold, ScalingInfo
from geoopt.utils import size2shape
from torch import Tensor, nn

from gsam.manifolds import smooth
from gsam.manifolds.rows import dot


class Hyperbolic(Manifold):
    r"""Base of :class:`Lorentz` and :class:`PoincareBall`: hyperbolic space of sectional curvature :math:`-c`.

    Args:
        c: minus the curvature, finite and above 0. Fixed, it is a Python float: nothing of the manifold is a
            parameter, and nothing has to follow a change of device or dtype.
        learnable: make :math:`\log c` the one parameter ``log_c``; :math:`c` stays positive whatever an optimizer does,
            and its gradient flows through every method.
        checked: where :meth:`expmap` and :meth:`expmap0` look whether their result is in range: ``None`` for tensors
            on the CPU, where it costs next to nothing; ``True`` everywhere, at the price of waiting for the device;
            ``False`` never. Compiled code and ``torch.func.vmap`` are not checked. The methods that optimizers call
            (``retr``, ``retr_transp``, ``transp``, ``egrad2rgrad``, ...) and the pure functions never check and never
            wait.

    Raises:
        ValueError: if ``c`` is not a finite positive number; by checked methods, if a result is out of range.
    """

    ndim = 1
    reversible = True
    __scaling__ = Manifold.__scaling__.copy()
    _maths: ClassVar[Any]

    def __init__(self, c: float = 1.0, learnable: bool = False, *, checked: bool | None = None) -> None:
        super().__init__()
        value = float(c)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"expected a finite c > 0 (the curvature is -c), found {c}; pass a number such as 1.0")
        self.checked = checked
        self._fixed_c = value
        self.log_c: nn.Parameter | None
        self.register_parameter("log_c", nn.Parameter(torch.tensor(math.log(value))) if learnable else None)

    @property
    def c(self) -> Any:
        """Minus the sectional curvature: a float, or a scalar tensor with a gradient if it is learnable."""
        return self._fixed_c if self.log_c is None else self.log_c.exp()

    def _number(self) -> float:
        return self._fixed_c if self.log_c is None else math.exp(self.log_c.item())

    def max_radius(self, dtype: torch.dtype | None = None) -> float:
        """The largest distance from the origin that points in ``dtype`` may have."""
        return float(self._maths.max_radius(self._number(), dtype or torch.get_default_dtype()))

    def rounding_error(self, radius: float, distance: float, dtype: torch.dtype | None = None) -> float:
        """Bound of the relative error of ``logmap(x, expmap(x, u))``, for ``x`` at ``radius`` and ``u`` so long."""
        return float(self._maths.rounding_error(radius, distance, self._number(), dtype or torch.get_default_dtype()))

    def extra_repr(self) -> str:
        """The curvature."""
        return f"c={self._number():.6g}" + (", learnable=True" if self.log_c is not None else "")

    # -- distances and products ------------------------------------------------------------------------------------

    def dist(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Geodesic distance; its gradient at coincident points is 0."""
        return self._maths.distance(x, y, self.c, keepdim=keepdim)

    def dist2(self, x: Tensor, y: Tensor, *, keepdim: bool = False) -> Tensor:
        """Squared distance, smooth everywhere."""
        return self._maths.squared_distance(x, y, self.c, keepdim=keepdim)

    @__scaling__(ScalingInfo(1))
    def dist0(self, x: Tensor, *, keepdim: bool = False) -> Tensor:
        """Distance from the origin."""
        return self._maths.distance0(x, self.c, keepdim=keepdim)

    def inner(self, x: Tensor, u: Tensor, v: Tensor | None = None, *, keepdim: bool = False) -> Tensor:
        """Riemannian product of tangent vectors at ``x``; never negative for one with itself."""
        return self._maths.tangent_inner(x, u, u if v is None else v, self.c, keepdim=keepdim)

    def norm(self, x: Tensor, u: Tensor, *, keepdim: bool = False) -> Tensor:
        """Riemannian length of tangent vectors at ``x``; its gradient at zero is 0."""
        return torch.linalg.vector_norm(self.coordinates(x, u), dim=-1, keepdim=keepdim)

    def coordinates(self, x: Tensor, u: Tensor) -> Tensor:
        """Tangent vectors at ``x``, transported to the origin, in an orthonormal frame there: shape ``(..., d)``."""
        return self._maths.to_origin(x, u, self.c)

    def from_coordinates(self, x: Tensor, w: Tensor) -> Tensor:
        """The tangent vectors at ``x`` with the given :meth:`coordinates`."""
        return self._maths.from_origin(x, w, self.c)

    # -- gradients -------------------------------------------------------------------------------------------------

    def egrad2rgrad(self, x: Tensor, u: Tensor) -> Tensor:
        """The Riemannian gradient of a function with the ordinary gradient ``u``, which is left as it is."""
        return self._maths.riemannian_gradient(x, u, self.c)

    def rgrad2egrad(self, x: Tensor, r: Tensor) -> Tensor:
        """The covector ``e`` with ``egrad2rgrad(x, e) == r``, for a tangent vector ``r``."""
        return self._maths.covector(x, r, self.c)

    # -- moves -----------------------------------------------------------------------------------------------------

    def expmap(self, x: Tensor, u: Tensor) -> Tensor:
        """The exponential map; checked (see ``checked``)."""
        return self._in_range(self._unbounded(x, u))

    def retr(self, x: Tensor, u: Tensor) -> Tensor:
        """The exponential map, not checked."""
        return self._maths.expmap(x, u, self.c)

    @__scaling__(ScalingInfo(u=-1))
    def expmap0(self, u: Tensor) -> Tensor:
        """The exponential map at the origin; checked (see ``checked``)."""
        return self._in_range(self._unbounded0(u))

    def logmap(self, x: Tensor, y: Tensor) -> Tensor:
        """The tangent vector at ``x`` that leads to ``y``."""
        return self._maths.logmap(x, y, self.c)

    @__scaling__(ScalingInfo(1))
    def logmap0(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`expmap0`."""
        return self._maths.logmap0(x, self.c)

    def transp(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport of ``v`` from ``x`` to ``y`` along the geodesic."""
        return self._maths.transport(x, y, v, self.c)

    # -- sampling --------------------------------------------------------------------------------------------------

    @__scaling__(ScalingInfo(std=-1), "random")
    def random_normal(
        self,
        *size: Any,
        mean: Tensor | None = None,
        std: float | Tensor = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Wrapped normal points: :math:`\exp_\mu(P_{0 \to \mu}\,v)` with :math:`v \sim N(0, \sigma^2)`.

        Nagano et al., *A Wrapped Normal Distribution on Hyperbolic Space* (ICML 2019).

        Args:
            *size: shape of the result, the coordinates of a point last.
            mean: points :math:`\mu` that broadcast to ``size``; default: the origin.
            std: :math:`\sigma` in units of distance, a number or a tensor that broadcasts to ``(..., d)``.
            dtype: default: that of ``mean``, else of a learnable curvature, else torch's.
            device: default: likewise.
            generator: source of randomness.
        """
        shape = size2shape(*size)
        self._assert_check_shape(shape, "x")
        if mean is None:
            mean = self.origin(shape, dtype=dtype or self.dtype, device=device or self.device)
        elif not isinstance(mean, Tensor):
            raise ValueError(f"expected mean to be a point of the manifold or None (the origin), found {mean!r}")
        sample = torch.randn(
            self._frame_shape(shape), dtype=dtype or mean.dtype, device=device or mean.device, generator=generator
        )
        with torch.no_grad():
            found = self.expmap(mean, self.from_coordinates(mean, sample * std))
            return ManifoldTensor(found.to(sample.dtype), manifold=self)

    random = random_normal

    @__scaling__(ScalingInfo.NotCompatible)
    def log_prob(self, y: Tensor, mean: Tensor | None = None, std: float | Tensor = 1.0) -> Tensor:
        r"""Logarithm of the density of :meth:`random_normal` at ``y`` with respect to the Riemannian volume, ``(...)``.

        .. math::
            \log N(v; 0, \sigma^2) - (d - 1) \log \frac{\sinh(\sqrt c\,\|v\|)}{\sqrt c\,\|v\|}, \qquad
            v = P_{\mu \to 0} \log_\mu(y)
        """
        mean = self.origin(y.shape, dtype=y.dtype, device=y.device) if mean is None else mean
        v = self.coordinates(mean, self.logmap(mean, y))
        std = torch.as_tensor(std, dtype=v.dtype, device=v.device)
        normal = -0.5 * (v / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
        return normal.sum(-1) - (v.shape[-1] - 1) * smooth.sinhc(self.c * dot(v, v)).log().squeeze(-1)

    # -- the range -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _unbounded(self, x: Tensor, u: Tensor) -> Tensor: ...

    @abstractmethod
    def _unbounded0(self, u: Tensor) -> Tensor: ...

    @abstractmethod
    def _in_range(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _frame_shape(self, shape: Any) -> tuple[int, ...]: ...

    def _looks(self, x: Tensor) -> bool:
        """Whether the range of ``x`` is to be looked at here."""
        if self.checked is False or torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(x):
            return False
        return x.device.type == "cpu" or (self.checked is True and x.device.type != "meta")

    def _assert_range(self, inside: Tensor, x: Tensor) -> None:
        if bool(inside.all()):
            return
        found = "a NaN" if bool(x.detach()[~inside].isnan().any()) else "one beyond"
        reach, kind = self.max_radius(x.dtype), str(x.dtype).removeprefix("torch.")
        raise ValueError(
            f"expected points of {self} at most {reach:.4g} from the origin, the range of {kind}, found {found}; "
            "clip the tangent vectors, use float64, or call retr(), which does not check"
        )
