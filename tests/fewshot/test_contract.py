"""Every few-shot method obeys the contract, and every one of them is in its table."""

from __future__ import annotations

import inspect

import pytest
import torch

import gsam.fewshot
from gsam.datasets import DatasetError, NodeDataset
from gsam.fewshot import FewShotMethod
from gsam.fewshot.registry import METHODS
from gsam.graphs import SparseRows
from tests.contracts.few_shot_contract import CASES, FewShotContract


class TestMethod(FewShotContract):
    pass


def test_every_method_has_a_case() -> None:
    public = [getattr(gsam.fewshot, name) for name in gsam.fewshot.__all__]
    methods = {item for item in public if inspect.isclass(item) and issubclass(item, FewShotMethod)}
    assert methods - {FewShotMethod} <= {case.kind for case in CASES}, "add a case to few_shot_contract.py"
    assert METHODS.items() <= {(case.name, case.kind) for case in CASES}, "add a case to few_shot_contract.py"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_never_get_here(value: float) -> None:
    """Neither the sparse matrix nor the data set lets them in, so the methods need no check of their own."""
    x = torch.eye(4)
    x[1, 2] = value
    with pytest.raises(ValueError, match="finite"):
        SparseRows.from_dense(x)
    good = SparseRows.from_dense(torch.eye(4))
    good.value[1] = value
    data = NodeDataset("bad", torch.zeros(2, 0, dtype=torch.long), good, torch.tensor([0, 0, 1, 1]), ("a", "b"))
    with pytest.raises(DatasetError, match="finite"):
        data.validate()
