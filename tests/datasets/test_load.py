from __future__ import annotations

from pathlib import Path

import pytest

from gsam.datasets import DatasetError, load


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.npz: no such file"):
        load(tmp_path / "nowhere.npz")


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "graph.csv").touch()
    for name in (tmp_path / "graph.csv", str(tmp_path / "graph.csv")):
        with pytest.raises(DatasetError, match=r"graph\.csv: expected a file that ends in \.npz or \.pt"):
            load(name)


def test_unknown_name() -> None:
    with pytest.raises(DatasetError, match="did you mean minesweeper"):
        load("minesweper")


def test_broken_raw_file_is_named(empty_cache: Path) -> None:
    raw = empty_cache / "Amazon/Photo/raw"
    raw.mkdir(parents=True)
    (raw / "amazon_electronics_photo.npz").write_text("<html>moved</html>")
    with pytest.raises(DatasetError, match=r"amazon_electronics_photo\.npz: expected a \.npz archive"):
        load("amazon-photo")
