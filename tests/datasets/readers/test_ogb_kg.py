from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gsam.datasets import DatasetError, KnowledgeGraph, load
from gsam.datasets.names import NumberedNames
from tests.datasets.readers.ogb_files import K, N, R, Splits, table, untyped, write_wikikg2


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GSAM_DATA", str(tmp_path))
    monkeypatch.setenv("GSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path


def loaded() -> KnowledgeGraph:
    return load("ogbl-wikikg2")


def test_holds_what_the_files_hold(here: Path) -> None:
    splits = untyped()
    write_wikikg2(here, splits)
    graph = loaded()
    for split, arrays in splits.items():
        expected = [list(row) for row in zip(arrays["head"], arrays["relation"], arrays["tail"], strict=True)]
        assert graph.split(split).tolist() == expected
    assert graph.entities == tuple(f"Q{i * i}" for i in range(N))
    assert graph.relations == tuple(f"P{i}" for i in range(R))
    assert (graph.name, graph.entity_type, graph.notes) == ("ogbl-wikikg2", None, ())


def test_official_negatives(here: Path) -> None:
    splits = untyped()
    write_wikikg2(here, splits)
    negatives = loaded().negatives
    assert set(negatives) == {"valid", "test"}
    for split in negatives:
        assert negatives[split].heads.dtype == torch.int32
        assert negatives[split].heads.shape == (len(splits[split]["head"]), K)
        assert np.array_equal(negatives[split].heads, splits[split]["head_neg"])
        assert np.array_equal(negatives[split].tails, splits[split]["tail_neg"])


def test_without_names_the_numbers_are_names(here: Path) -> None:
    write_wikikg2(here, untyped(), names=False)
    graph = loaded()
    assert graph.entities == NumberedNames(N)
    assert graph.relations == NumberedNames(R)
    assert graph.entity_index("11") == 11


def test_ogb_itself_is_not_imported_and_nothing_is_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ogb", None)  # an import of it would fail
    write_wikikg2(here, untyped())
    before = sorted(here.rglob("*"))
    loaded()
    assert sorted(here.rglob("*")) == before


def drop(split: str, name: str) -> Callable[[Splits], None]:
    return lambda splits: splits[split].__delitem__(name)


def replace(split: str, name: str, value: object) -> Callable[[Splits], None]:
    return lambda splits: splits[split].__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            drop("train", "tail"),
            r"train\.pt: expected a dict with arrays head, relation and tail, found head int64\[20\]",
        ),
        (replace("test", "head", np.arange(7)), r"test\.pt: expected head, relation and tail as whole numbers \[T\]"),
        (replace("test", "head", np.zeros(6)), r"test\.pt: .*found head float64\[6\]"),
        (replace("valid", "tail", np.full(5, N)), r"valid: tail 12 of triple 0 is out of range: expected 0 to 11"),
        (
            replace("valid", "head_neg", np.zeros((4, K), int)),
            r"valid: negative heads: expected whole numbers \[5, K\]",
        ),
        (replace("test", "tail_neg", np.full((6, K), -1)), r"test: negative tails: -1 to -1 found, expected 0 to 11"),
        (replace("test", "head", torch.arange(6)), r"test\.pt: cannot be read as saved arrays"),
    ],
)
def test_broken_files_are_named(change: Callable[[Splits], None], message: str, here: Path) -> None:
    splits = untyped()
    change(splits)
    write_wikikg2(here, splits)
    with pytest.raises(DatasetError, match=message):
        loaded()


def test_a_table_of_another_set_is_refused(here: Path) -> None:
    folder = write_wikikg2(here, untyped())
    table(folder / "mapping/nodeidx2entityid.csv.gz", "node idx,entity id\n0,Q0\n1,Q1\n")
    with pytest.raises(DatasetError, match=r"nodeidx2entityid\.csv\.gz: expected 12 names, found 2"):
        loaded()


def test_something_else_than_a_dict(here: Path) -> None:
    folder = write_wikikg2(here, untyped())
    torch.save([1, 2], folder / "split/time/test.pt")
    with pytest.raises(DatasetError, match=r"test\.pt: expected a dict .*, found list"):
        loaded()
