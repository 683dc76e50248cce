"""Laws of every manifold beside its numbers: gradients, purity, the transforms of torch, the interface of geoopt."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import geoopt
import pytest
import torch
from torch import Tensor

from gsam.manifolds import Hyperbolic
from tests.contracts.manifold_cases import CASES, DTYPES, Case, plain

per_case = pytest.mark.parametrize("case", CASES, ids=str)
per_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
Method = Callable[[Hyperbolic, Tensor, Tensor, Tensor, Tensor], Any]

# every method that takes tensors: (manifold, x, y, u, v) with u, v tangent at x
METHODS: dict[str, Method] = {
    "dist": lambda m, x, y, u, v: m.dist(x, y),
    "dist2": lambda m, x, y, u, v: m.dist2(x, y),
    "dist0": lambda m, x, y, u, v: m.dist0(x),
    "inner": lambda m, x, y, u, v: m.inner(x, u, v),
    "norm": lambda m, x, y, u, v: m.norm(x, u),
    "component_inner": lambda m, x, y, u, v: m.component_inner(x, u, v).squeeze(-1),
    "coordinates": lambda m, x, y, u, v: m.coordinates(x, u),
    "from_coordinates": lambda m, x, y, u, v: m.from_coordinates(x, m.logmap0(y)),
    "projx": lambda m, x, y, u, v: m.projx(x),
    "proju": lambda m, x, y, u, v: m.proju(x, y),
    "egrad2rgrad": lambda m, x, y, u, v: m.egrad2rgrad(x, y),
    "rgrad2egrad": lambda m, x, y, u, v: m.rgrad2egrad(x, u),
    "expmap": lambda m, x, y, u, v: m.expmap(x, u),
    "expmap0": lambda m, x, y, u, v: m.expmap0(m.logmap0(y)),
    "retr": lambda m, x, y, u, v: m.retr(x, u),
    "logmap": lambda m, x, y, u, v: m.logmap(x, y),
    "logmap0": lambda m, x, y, u, v: m.logmap0(x),
    "transp": lambda m, x, y, u, v: m.transp(x, y, v),
    "retr_transp": lambda m, x, y, u, v: m.retr_transp(x, u, v)[1],
    "expmap_transp": lambda m, x, y, u, v: m.expmap_transp(x, u, v)[1],
    "transp_follow_retr": lambda m, x, y, u, v: m.transp_follow_retr(x, u, v),
    "transp_follow_expmap": lambda m, x, y, u, v: m.transp_follow_expmap(x, u, v),
    "log_prob": lambda m, x, y, u, v: m.log_prob(y, x, 0.7),
}
per_method = pytest.mark.parametrize("name", METHODS)


def arguments(case: Case, manifold: Hyperbolic, dtype: torch.dtype = torch.float64, rows: int = 3) -> list[Tensor]:
    x = case.points(manifold, dtype, rows, radius=1.2, seed=0)
    y = case.points(manifold, dtype, rows, radius=0.7, seed=1)
    return [x, y, case.vectors(manifold, x, seed=2), case.vectors(manifold, x, seed=3)]


class GradientContract:
    @per_case
    @per_method
    def test_derivatives_are_those_of_finite_differences(self, case: Case, name: str) -> None:
        """In all arguments, which move with the points, and in a learned curvature, with which the points move."""
        manifold = case.build()
        x, y, u, v = arguments(case, manifold, rows=1)
        flat = [manifold.logmap0(x), manifold.logmap0(y), manifold.coordinates(x, u), manifold.coordinates(x, v)]

        def call(a: Tensor, b: Tensor, p: Tensor, q: Tensor, *learned: Tensor) -> Tensor:
            x, y = manifold.expmap0(a), manifold.expmap0(b)
            return METHODS[name](manifold, x, y, manifold.from_coordinates(x, p), manifold.from_coordinates(x, q))

        inputs = [t.detach().requires_grad_() for t in flat]
        assert torch.autograd.gradcheck(call, (*inputs, *manifold.parameters()), rtol=1e-5, atol=1e-7)

    @per_case
    @per_dtype
    @pytest.mark.parametrize("radius", [0.0, 1e-3, 1.0, 4.0])
    def test_coincident_points(self, case: Case, dtype: torch.dtype, radius: float) -> None:
        """The distance has a subgradient 0, its square the gradient 0, the logarithm the derivative 1."""
        manifold = case.build(dtype)
        x = case.points(manifold, dtype, 3, radius=radius)
        for function in (manifold.dist, manifold.dist2):
            pair = [x.clone().requires_grad_(), x.clone().requires_grad_()]
            value = function(*pair)
            assert torch.equal(value, torch.zeros_like(value))
            assert all(torch.equal(g, torch.zeros_like(g)) for g in torch.autograd.grad(value.sum(), pair))
        u = case.vectors(manifold, x)
        value, slope = torch.autograd.functional.jvp(lambda y: manifold.logmap(x, y), x.clone(), u)
        assert torch.equal(value, torch.zeros_like(value))
        _, forth = torch.autograd.functional.jvp(lambda w: manifold.expmap(x, w), torch.zeros_like(u), u)
        slack = 32 * torch.finfo(dtype).eps * math.cosh(math.sqrt(case.c) * radius)
        for found in (slope, forth, manifold.transp(x, x, u)):
            assert manifold.norm(x, found - u).max() <= slack

    @per_case
    @per_dtype
    @pytest.mark.parametrize("radius", [0.0, 1.0])
    def test_second_derivative_at_coincident_points(self, case: Case, dtype: torch.dtype, radius: float) -> None:
        """Along a geodesic from x the squared distance to x is t^2: its second derivative is 2 <v, v>."""
        manifold = case.build(dtype)
        x = case.points(manifold, dtype, 1, radius=radius)[0]
        v = case.vectors(manifold, x)

        def along(t: Tensor) -> Tensor:
            return manifold.dist2(x, manifold.expmap(x, t * v))

        curve = torch.autograd.functional.hessian(along, torch.zeros((), dtype=dtype))
        torch.testing.assert_close(curve, 2 * manifold.inner(x, v).detach(), rtol=1e-4, atol=0)

    @per_case
    @per_dtype
    def test_gradients_at_the_origin_and_of_zero_vectors(self, case: Case, dtype: torch.dtype) -> None:
        manifold = case.build(dtype)
        origin = plain(manifold.origin(2, case.width, dtype=dtype))
        for name, method in METHODS.items():
            inputs = [origin, origin, torch.zeros_like(origin), torch.zeros_like(origin)]
            inputs = [t.clone().requires_grad_() for t in inputs]
            value = method(manifold, *inputs)
            grads = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
            assert value.isfinite().all(), name
            assert all(g.isfinite().all() for g in grads if g is not None), name

    @per_case
    def test_gradient_of_half_the_squared_distance_is_minus_the_logarithm(self, case: Case) -> None:
        manifold = case.build()
        x, y, _, _ = arguments(case, manifold, rows=5)
        x.requires_grad_()
        (grad,) = torch.autograd.grad(manifold.dist2(x, y).sum() / 2, x)
        torch.testing.assert_close(manifold.egrad2rgrad(x, grad), -manifold.logmap(x, y), rtol=1e-11, atol=1e-12)

    @per_case
    def test_covector_of_a_tangent_vector(self, case: Case) -> None:
        manifold = case.build()
        x, _, u, v = arguments(case, manifold, rows=50)
        covector = manifold.rgrad2egrad(x, u)
        torch.testing.assert_close(manifold.egrad2rgrad(x, covector), u, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close((covector * v).sum(-1), manifold.inner(x, u, v), rtol=1e-12, atol=1e-12)


class TransformContract:
    @per_case
    @per_dtype
    @per_method
    def test_no_argument_is_written_to(self, case: Case, dtype: torch.dtype, name: str) -> None:
        manifold = case.build(dtype)
        inputs = arguments(case, manifold, dtype)
        before = [t.clone() for t in inputs]
        value = METHODS[name](manifold, *inputs)
        assert value.dtype == dtype
        assert all(torch.equal(a, b) and a._version == 0 for a, b in zip(inputs, before, strict=True))

    @per_case
    @per_method
    def test_a_batch_is_its_rows(self, case: Case, name: str) -> None:
        """Leading dimensions broadcast; torch.func.vmap agrees."""
        manifold = case.build()
        inputs = arguments(case, manifold, rows=4)
        batch = METHODS[name](manifold, *inputs)
        rows = [METHODS[name](manifold, *(t[i] for t in inputs)) for i in range(4)]
        torch.testing.assert_close(batch, torch.stack(rows), rtol=1e-12, atol=1e-13)
        mapped = torch.func.vmap(lambda *row: METHODS[name](manifold, *row))(*inputs)
        torch.testing.assert_close(batch, mapped, rtol=1e-12, atol=1e-13)
        shaped = METHODS[name](manifold, *(t.reshape(2, 2, -1) for t in inputs))
        torch.testing.assert_close(batch, shaped.flatten(0, 1), rtol=1e-12, atol=1e-13)

    @per_case
    def test_pairs_by_broadcasting(self, case: Case) -> None:
        manifold = case.build()
        x, y, _, _ = arguments(case, manifold, rows=3)
        table = manifold.dist(x[:, None], y[None])
        assert table.shape == (3, 3)
        torch.testing.assert_close(table[1, 2], manifold.dist(x[1], y[2]))
        assert manifold.dist(x, y, keepdim=True).shape == (3, 1)

    @per_case
    def test_functional_gradient(self, case: Case) -> None:
        manifold = case.build()
        x, y, _, _ = arguments(case, manifold, rows=3)
        mapped = torch.func.vmap(torch.func.grad(lambda a, b: manifold.dist(a, b)))(x, y)
        x.requires_grad_()
        torch.testing.assert_close(mapped, torch.autograd.grad(manifold.dist(x, y).sum(), x)[0])

    @pytest.mark.parametrize("case", [CASES[1], CASES[-1]], ids=str)
    def test_compiled_equals_eager(self, case: Case) -> None:
        manifold = case.build()
        inputs = arguments(case, manifold)

        def everything(x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> list[Tensor]:
            return [method(manifold, x, y, u, v) for name, method in METHODS.items() if name != "log_prob"]

        compiled = torch.compile(everything, fullgraph=True, backend="eager")
        for found, true in zip(compiled(*inputs), everything(*inputs), strict=True):
            torch.testing.assert_close(found, true, rtol=1e-12, atol=1e-13)

    @per_case
    def test_on_the_meta_device(self, case: Case) -> None:
        manifold = case.build().to("meta")
        inputs = [t.to("meta") for t in arguments(case, case.build())]
        for name, method in METHODS.items():
            if name != "log_prob":
                assert method(manifold, *inputs).device.type == "meta", name

    @per_case
    def test_copies_and_files(self, case: Case) -> None:
        manifold = case.build()
        x, y, _, _ = arguments(case, manifold)
        file = io.BytesIO()
        torch.save(manifold.state_dict(), file)
        file.seek(0)
        loaded = case.kind(9.0, case.learnable)
        loaded.load_state_dict(torch.load(file))
        others = [copy.deepcopy(manifold), pickle.loads(pickle.dumps(manifold))]
        for other in [*others, loaded.double()] if case.learnable else others:
            torch.testing.assert_close(other.dist(x, y), manifold.dist(x, y), rtol=1e-6, atol=0)
            assert repr(other) == repr(manifold)
            assert len(list(other.parameters())) == case.learnable
        param = geoopt.ManifoldParameter(x, manifold=manifold)
        for twin in (copy.deepcopy(param), pickle.loads(pickle.dumps(param))):
            assert torch.equal(twin, param)
            assert type(twin.manifold) is case.kind

    @per_case
    def test_follows_dtype_and_keeps_mixed_ones(self, case: Case) -> None:
        """A curvature in either dtype with points in the other: the points decide."""
        for curvature in DTYPES:
            manifold = case.build(curvature)
            for dtype in DTYPES:
                assert manifold.dist(*arguments(case, manifold, dtype)[:2]).dtype == dtype


class GeooptContract:
    @per_case
    def test_nothing_of_the_base_interface_is_missing(self, case: Case) -> None:
        assert case.kind.name == case.kind.__name__
        assert (case.kind.ndim, case.kind.reversible) == (1, True)
        for name in geoopt.manifolds.base.Manifold.__scaling__:
            assert name in case.kind.__scaling__
        assert {"dist0", "expmap0", "logmap0", "random_normal", "random"} <= set(case.kind.__scaling__)

    @per_case
    def test_reversible(self, case: Case) -> None:
        """Going and coming back: the way reversed leads home, and brings what was carried."""
        manifold = case.build()
        x, _, u, v = arguments(case, manifold)
        y, way = manifold.retr_transp(x, u, u)
        home, carried = manifold.retr_transp(y, -way, manifold.transp(x, y, v))
        torch.testing.assert_close(home, x, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(carried, v, rtol=1e-12, atol=1e-12)

    @per_case
    @pytest.mark.parametrize("make", ["adam", "amsgrad", "sgd", "momentum"])
    @per_dtype
    def test_optimizers_reach_a_target(self, case: Case, make: str, dtype: torch.dtype) -> None:
        manifold = case.build(dtype)
        root = math.sqrt(case.c)
        target = case.points(manifold, dtype, 5, radius=1.5 / root, seed=0)
        start = case.points(manifold, dtype, 5, radius=4.0 / root, seed=1)
        param = geoopt.ManifoldParameter(start, manifold=manifold)
        options: dict[str, Callable[[], torch.optim.Optimizer]] = {
            "adam": lambda: geoopt.optim.RiemannianAdam([param], lr=0.05 / root),
            "amsgrad": lambda: geoopt.optim.RiemannianAdam([param], lr=0.05 / root, amsgrad=True),
            "sgd": lambda: geoopt.optim.RiemannianSGD([param], lr=0.1),
            "momentum": lambda: geoopt.optim.RiemannianSGD([param], lr=0.02, momentum=0.8),
        }
        optimizer = options[make]()
        for _ in range(200):
            optimizer.zero_grad()
            manifold.dist2(param, target).sum().backward()
            before = param.grad.clone()
            optimizer.step()
            assert torch.equal(param.grad, before)
        assert manifold.dist(param, target).max() < 0.15 / root
        assert manifold.check_point_on_manifold(param, atol=0, rtol=4 * torch.finfo(dtype).eps)

    @per_case
    def test_scaled(self, case: Case) -> None:
        manifold = case.build()
        x, y, u, v = arguments(case, manifold)
        scaled = geoopt.Scaled(manifold, 3.0).double()
        torch.testing.assert_close(scaled.dist(x, y), 3 * manifold.dist(x, y))
        torch.testing.assert_close(scaled.dist0(x), 3 * manifold.dist0(x))
        torch.testing.assert_close(scaled.dist2(x, y), 9 * manifold.dist2(x, y))
        torch.testing.assert_close(scaled.expmap(x, scaled.logmap(x, y)), y)
        torch.testing.assert_close(scaled.retr(x, 3 * u), manifold.retr(x, u))
        torch.testing.assert_close(scaled.retr_transp(x, 3 * u, v)[1], manifold.retr_transp(x, u, v)[1])
        torch.testing.assert_close(scaled.expmap0(scaled.logmap0(x)), x)
        torch.manual_seed(0)
        drawn = scaled.random_normal(1000, case.width, std=0.3, dtype=torch.float64)
        torch.manual_seed(0)
        torch.testing.assert_close(drawn, manifold.random_normal(1000, case.width, std=0.1, dtype=torch.float64))

    @per_case
    def test_product(self, case: Case) -> None:
        manifold = case.build()
        x, y, u, v = arguments(case, manifold)
        product = geoopt.ProductManifold((manifold, case.width), (geoopt.Euclidean(), 2))
        flat = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        a, b, g, h = (torch.cat([p, q], -1) for p, q in zip((x, y, u, v), flat, strict=True))
        total = manifold.dist2(x, y) + (flat[0] - flat[1]).square().sum(-1)
        torch.testing.assert_close(product.dist2(a, b), total)
        torch.testing.assert_close(
            product.retr_transp(a, g, h)[1][:, : case.width], manifold.transp_follow_retr(x, u, v)
        )
        if not case.learnable:  # geoopt takes the dtype of the parameters for that of the points
            assert product.random(7, case.width + 2, dtype=torch.float64).shape == (7, case.width + 2)
            assert product.origin(7, case.width + 2, dtype=torch.float64).dtype == torch.float64

    @per_case
    def test_checks(self, case: Case) -> None:
        manifold = case.build()
        x, _, u, _ = arguments(case, manifold)
        assert manifold.check_point_on_manifold(x)
        assert manifold.check_vector_on_tangent(x, u)
        far = case.points(manifold, torch.float32, 20, radius=6.0)
        assert manifold.check_point_on_manifold(far)
        assert manifold.check_vector_on_tangent(far, case.vectors(manifold, far))
        assert not manifold.check_point_on_manifold(x * math.nan)
        assert not manifold.check_vector_on_tangent(x, u * math.nan)
        beyond = x * 50
        ok, reason = manifold.check_point_on_manifold(beyond, explain=True)
        assert not ok
        assert "projx()" in reason
        assert manifold.check_point_on_manifold(manifold.projx(beyond))
        with pytest.raises(ValueError, match="projx"):
            manifold.assert_check_point_on_manifold(beyond)
