from __future__ import annotations

from dataclasses import fields

import pytest

from gsam.fewshot import FewShotConfig
from gsam.fewshot.bench.errors import BenchError
from gsam.fewshot.bench.values import COMMON, SCHEDULE, TASK, check_keys, checked, field_kinds, option_kinds


def test_kinds_are_the_types_of_the_configuration() -> None:
    found = field_kinds((*TASK, *SCHEDULE, *COMMON, "split"))
    defaults = {field.name: field.default for field in fields(FewShotConfig)}
    assert found == {name: int if defaults[name] is None else type(defaults[name]) for name in found}
    assert [name for name in found if defaults[name] is None] == ["train_ways", "train_queries", "max_neighbors"]
    assert field_kinds(("rho", "k")) == {"rho": float, "k": int}


def test_kinds_of_options_come_from_fields_then_defaults() -> None:
    found = option_kinds({"rho": 1, "metric": "cosine", "shift": False, "inner_steps": 5, "size": None})
    assert found == {"rho": float, "metric": str, "shift": bool, "inner_steps": int, "size": None}


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (int, [3, -1], [3.0, True, "3", None, [3]]),
        (float, [0.5, 1e-9], [True, "0.5", float("nan"), float("inf"), None]),
        (str, ["a"], [1, True, None]),
        (bool, [True], [1, "yes"]),
        (None, [1, 0.5, "a", False], [None, [1], float("nan")]),
    ],
)
def test_checked(kind: type | None, right: list, wrong: list) -> None:
    for value in right:
        assert checked("here", value, kind) is value
    for value in wrong:
        with pytest.raises(BenchError, match="here: expected"):
            checked("here", value, kind)


def test_whole_numbers_become_numbers() -> None:
    assert type(checked("here", 1, float)) is float


def test_check_keys() -> None:
    check_keys("here", {"a": 1}, ("a", "b"), ("a",))
    with pytest.raises(BenchError, match="did you mean 'optimizers'"):
        check_keys("here", {"optimisers": 1}, ("datasets", "optimizers"))
    with pytest.raises(BenchError, match="found no b"):
        check_keys("here", {"a": 1}, ("a", "b"), ("a", "b"))
