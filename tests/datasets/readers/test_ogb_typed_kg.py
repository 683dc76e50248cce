from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsam.datasets import DatasetError, KnowledgeGraph, load
from tests.datasets.readers.ogb_files import SIZES, Splits, typed, write_biokg


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    monkeypatch.setenv("GSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def loaded() -> KnowledgeGraph:
    return load("ogbl-biokg")


def named(arrays: dict[str, Any], end: str, numbers: Any, row: int) -> list[str]:
    kind = arrays[f"{end}_type"][row]
    return [f"{kind}:{kind[:2]}{number}" for number in np.atleast_1d(numbers[row]).tolist()]


def test_every_triple_and_negative_has_its_name(here: Path) -> None:
    """Names are looked up here within the type, as the files have them."""
    splits = typed()
    write_biokg(here, splits)
    graph = loaded()
    for split, arrays in splits.items():
        for row, (head, relation, tail) in enumerate(graph.split(split).tolist()):
            assert [graph.entities[head]] == named(arrays, "head", arrays["head"], row)
            assert [graph.entities[tail]] == named(arrays, "tail", arrays["tail"], row)
            assert relation == arrays["relation"][row]
            for end in ("head", "tail") if split != "train" else ():
                found = getattr(graph.negatives[split], f"{end}s")[row].tolist()
                assert [graph.entities[i] for i in found] == named(arrays, end, arrays[f"{end}_neg"], row)


def test_types(here: Path) -> None:
    write_biokg(here, typed(), names=False)
    graph = loaded()
    assert graph.type_names == tuple(SIZES)
    assert graph.entity_type is not None
    assert graph.entity_type.tolist() == [0] * 4 + [1] * 5 + [2] * 3
    assert graph.entities[4] == "drug:0"
    assert graph.entity_index("protein:2") == 11


def broken(split: str, name: str, value: object) -> Splits:
    splits = typed()
    splits[split][name] = value
    return splits


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            broken("train", "head_type", ["drug"] * 19),
            r"train\.pt: expected head_type with one of disease, drug, protein",
        ),
        (broken("test", "tail_type", ["gene"] * 6), r"test\.pt: expected tail_type .* for each of 6 triples"),
        (
            broken("test", "tail", np.full(6, 5)),
            r"test\.pt: tail of triple 0 is out of range: its type has the numbers 0",
        ),
        (broken("valid", "head_neg", np.full((5, 4), -1)), r"valid\.pt: head_neg of triple 0 is out of range"),
        (broken("valid", "head_neg", np.zeros((4, 4), int)), r"valid\.pt: expected 5 rows of head_neg, found 4"),
    ],
)
def test_broken_files_are_named(splits: Splits, message: str, here: Path) -> None:
    write_biokg(here, splits)
    with pytest.raises(DatasetError, match=message):
        loaded()
