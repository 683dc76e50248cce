"""Every knowledge-graph model obeys the contract, and every one of them is in its table."""

from __future__ import annotations

import inspect

import gsam.kg
from gsam.kg.model import KGModel
from gsam.kg.models import HyperbolicIsometry
from gsam.kg.registry import KG_MODELS
from tests.contracts.kg_cases import CASES
from tests.contracts.kg_contract import KGContract
from tests.contracts.naive_kg import NAIVE


class TestModel(KGContract):
    pass


def test_every_model_has_a_case() -> None:
    assert set(KG_MODELS) == {case.name for case in CASES} == set(NAIVE), "add a case to kg_cases.py"
    public = [getattr(gsam.kg, name) for name in getattr(gsam.kg, "__all__", ())]
    models = {item for item in public if inspect.isclass(item) and issubclass(item, KGModel)}
    named = set(KG_MODELS.values())
    assert models - {KGModel, HyperbolicIsometry} <= named, "add the model to KG_MODELS and kg_cases.py"
    assert _subclasses(KGModel) - {HyperbolicIsometry} <= named, "add the model to KG_MODELS and kg_cases.py"


def _subclasses(kind: type) -> set[type]:
    """All subclasses that the package defines."""
    found = {sub for sub in kind.__subclasses__() if sub.__module__.startswith("gsam.")}
    return found.union(*(_subclasses(sub) for sub in found))
