"""Full precision under autocast and for half-precision arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gsam.manifolds import Hyperbolic, Lorentz, PoincareBall, lorentz_math, poincare_math
from gsam.manifolds.precision import lift, lifted, outside_autocast
from tests.contracts.manifold_cases import CASES, Case, plain
from tests.contracts.manifold_laws import METHODS, arguments

HALF = (torch.bfloat16, torch.float16)
per_half = pytest.mark.parametrize("half", HALF, ids=str)
per_case = pytest.mark.parametrize("case", CASES, ids=str)
MATHS = (lorentz_math, poincare_math)
NO_TENSORS = {"rounding_error", "max_radius", "margin"}


@per_half
@per_case
def test_autocast_changes_nothing(case: Case, half: torch.dtype) -> None:
    """Values and gradients, bit for bit."""
    manifold = case.build(torch.float32)
    inputs = [t.requires_grad_() for t in arguments(case, manifold, torch.float32)]
    for name, method in METHODS.items():
        with torch.autocast("cpu", dtype=half):
            found = method(manifold, *inputs)
        expected = method(manifold, *inputs)
        assert found.dtype == torch.float32
        assert torch.equal(plain(found), plain(expected)), name
        if expected.requires_grad:
            assert all(map(torch.equal, _gradients(found, inputs), _gradients(expected, inputs))), name


@per_half
@per_case
def test_half_precision_arguments_are_lifted(case: Case, half: torch.dtype) -> None:
    """What autocast's linear layers hand over is computed with in float32, inside autocast and out of it."""
    manifold = case.build(torch.float32)
    low = [t.to(half) for t in arguments(case, manifold, torch.float32)]
    for name, method in METHODS.items():
        if name == "proju" and case.kind is PoincareBall:  # which returns what it is given
            continue
        expected = method(manifold, *(t.float() for t in low))
        for enabled in (False, True):
            with torch.autocast("cpu", dtype=half, enabled=enabled):
                found = method(manifold, *low)
            assert found.dtype == torch.float32, name
            assert torch.equal(plain(found), plain(expected)), name


@per_half
def test_every_formula_lifts(half: torch.dtype) -> None:
    """The pure functions too, called by position or by name; a formula added later has to be lifted as well."""
    for maths in MATHS:
        names = [name for name, f in vars(maths).items() if getattr(f, "__module__", "") == maths.__name__]
        names = [name for name in names if not name.startswith("_") and name not in NO_TENSORS]
        assert len(names) > 15
        assert all(hasattr(getattr(maths, name), "__wrapped__") for name in names), names
    p, q = torch.tensor([[0.1, 0.3]], dtype=half), torch.tensor([[-0.4, 0.2]], dtype=half)
    found = poincare_math.distance(x=p, y=q, c=torch.tensor(0.5, dtype=half))
    assert torch.equal(found, poincare_math.distance(p.float(), q.float(), torch.tensor(0.5)))


def test_why_lifting() -> None:
    """In half precision the formula itself rounds, by thousands of times as much. Float64 is never lowered."""
    x, y = lorentz_math.expmap0(torch.tensor([[2.0, 1.0], [2.4, 1.0]]), 1.0).bfloat16()
    true = lorentz_math.distance(x.double(), y.double(), 1.0)
    assert (lorentz_math.distance(x, y, 1.0) - true).abs() < 1e-6 * true
    unlifted: Any = lorentz_math.distance.__wrapped__  # type: ignore[attr-defined]
    assert (unlifted(x, y, 1.0) - true).abs() > 1e-3 * true
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert lorentz_math.distance(x.double(), y.double(), 1.0).dtype == torch.float64


@pytest.mark.parametrize("kind", [Lorentz, PoincareBall])
def test_asked_for_dtypes_are_given(kind: type[Hyperbolic]) -> None:
    manifold = kind(0.7)
    for dtype in (*HALF, torch.float64):
        assert manifold.origin(2, 3, dtype=dtype).dtype == dtype
        assert manifold.random_normal(2, 3, dtype=dtype, std=0.1).dtype == dtype


@pytest.mark.parametrize("kind", [Lorentz, PoincareBall])
def test_a_hyperbolic_layer_under_autocast(kind: type[Hyperbolic]) -> None:
    """Linear layers in half precision, the manifold in float32, compiled as one graph: like the same by hand."""
    torch.manual_seed(0)
    layer, manifold = torch.nn.Linear(5, 4), kind(0.7)
    x, y = torch.randn(6, 5), torch.randn(6, 5)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found: Tensor = manifold.dist(manifold.expmap0(layer(x)), manifold.expmap0(layer(y)))
        return found

    with torch.autocast("cpu", dtype=torch.bfloat16):
        a, b = layer(x), layer(y)
    assert a.dtype == torch.bfloat16
    expected = manifold.dist(manifold.expmap0(a.float()), manifold.expmap0(b.float()))
    assert torch.equal(distance(x, y), expected)
    compiled = torch.compile(distance, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), expected, rtol=1e-6, atol=1e-6)


def test_products_outside_autocast() -> None:
    calls: list[tuple[bool, torch.dtype]] = []

    @outside_autocast
    def product(a: Tensor, b: Tensor) -> Tensor:
        calls.append((torch.is_autocast_enabled("cpu"), a.dtype))
        return a @ b

    a, b = torch.randn(4, 3), torch.randn(3, 2)
    exact = a @ b
    for half in HALF:
        with torch.autocast("cpu", dtype=half):
            assert (a @ b).dtype == half
            assert torch.equal(product(a, b), exact)
            found = product(a.to(half), b=b)
            assert torch.is_autocast_enabled("cpu")
        assert torch.equal(found, a.to(half).float() @ b)
    assert torch.equal(product(a, b), exact)
    assert product(a.bfloat16(), b.bfloat16()).dtype == torch.bfloat16  # outside autocast as asked for
    assert calls == [(False, torch.float32)] * 5 + [(False, torch.bfloat16)]


def test_lift() -> None:
    assert lift(3) == 3
    assert lift(torch.ones(2, dtype=torch.float64)).dtype == torch.float64
    single = torch.ones(2)
    assert lift(single) is single
    assert lift(single.half()).dtype == torch.float32
    assert lifted(lambda *a, **k: (*a, *k.values()))(1, x=2) == (1, 2)


def _gradients(result: Tensor, inputs: list[Tensor]) -> list[Any]:
    found = torch.autograd.grad(result.square().sum(), inputs, allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]
