"""Every manifold obeys the contract, and every one of them is in its table."""

from __future__ import annotations

import inspect

from geoopt.manifolds.base import Manifold

import gsam.manifolds
from tests.contracts.manifold_cases import CASES
from tests.contracts.manifold_contract import AccuracyContract
from tests.contracts.manifold_laws import METHODS, GeooptContract, GradientContract, TransformContract
from tests.contracts.manifold_range import CurvatureContract, RangeContract, SamplingContract

# read numbers, build or check: no formulas
OTHERS = {"origin", "random", "random_normal", "max_radius", "rounding_error", "extra_repr"}
OF_ONE_MODEL = {"to_poincare", "from_poincare", "mobius_add", "lambda_x"}


class TestAccuracy(AccuracyContract):
    pass


class TestGradients(GradientContract):
    pass


class TestTransforms(TransformContract):
    pass


class TestGeoopt(GeooptContract):
    pass


class TestRange(RangeContract):
    pass


class TestCurvature(CurvatureContract):
    pass


class TestSampling(SamplingContract):
    pass


def test_every_public_manifold_has_a_case() -> None:
    public = [getattr(gsam.manifolds, name) for name in gsam.manifolds.__all__]
    manifolds = {kind for kind in public if inspect.isclass(kind) and issubclass(kind, Manifold)}
    final = {kind for kind in manifolds if not inspect.isabstract(kind)}
    assert final == {case.kind for case in CASES}
    for kind in final:
        assert {case.learnable for case in CASES if case.kind is kind} == {True, False}
        assert {case.c for case in CASES if case.kind is kind} >= {0.25, 1.0, 4.0}


def test_every_method_is_in_the_laws() -> None:
    for kind in {case.kind for case in CASES}:
        own = {name for base in kind.__mro__[:2] for name, value in vars(base).items() if inspect.isfunction(value)}
        assert {name for name in own if not name.startswith("_")} <= {*METHODS, *OTHERS, *OF_ONE_MODEL}
