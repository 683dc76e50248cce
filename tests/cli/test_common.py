import os

import pytest
import torch

from gsam.cli.common import choose_device, integers, named_values, use_determinism, use_threads


@pytest.mark.parametrize(
    ("text", "expected"), [("0", (0,)), ("0,2, 5", (0, 2, 5)), ("0-3", (0, 1, 2, 3)), ("1,4-5", (1, 4, 5))]
)
def test_integers(text: str, expected: tuple[int, ...]) -> None:
    assert integers(text, "--seeds") == expected


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-1", "1.5", "1-"])
def test_integers_refuses_anything_else(text: str) -> None:
    with pytest.raises(ValueError, match="--seeds such as"):
        integers(text, "--seeds")


def test_choose_device() -> None:
    available = torch.cuda.is_available()
    assert choose_device("auto") == ("cuda" if available else "cpu")
    assert choose_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="auto, cpu or cuda"):
        choose_device("gpu")
    if not available:
        with pytest.raises(ValueError, match="found none"):
            choose_device("cuda")


def test_use_threads() -> None:
    before = torch.get_num_threads()
    try:
        use_threads(2)
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="threads >= 1"):
            use_threads(0)
    finally:
        torch.set_num_threads(before)


def test_named_values_are_parsed() -> None:
    given = ["rho=0.1", "k=3", "adaptive=true", "geometry=flat", "name=a=b"]
    expected = {"rho": 0.1, "k": 3, "adaptive": True, "geometry": "flat", "name": "a=b"}
    assert named_values(given) == expected
    for wrong in (["rho"], ["=1"], ["rho="], ["rho=1", "rho=2"]):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            named_values(wrong)


def test_named_values_are_finite_numbers_flags_or_text() -> None:
    assert named_values(["a=null", "b=[1]", 'c="x"', "d=1.5x"]) == {"a": "null", "b": "[1]", "c": '"x"', "d": "1.5x"}
    for wrong in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(ValueError, match=f"finite number for --option scale, found {wrong}"):
            named_values([f"scale={wrong}"])


@pytest.mark.parametrize("wanted", [True, False])
def test_use_determinism(wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        use_determinism(wanted)
        assert torch.are_deterministic_algorithms_enabled() == wanted
        assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == wanted
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
