from __future__ import annotations

from pathlib import Path
from typing import Any

import geoopt
import pytest
import torch

from gsam.checked_file import CheckpointError, first_line, read_checked, write_checked


def written(path: Path) -> Path:
    with path.open("wb") as file:
        write_checked(file, {"weights": {"a": torch.arange(40.0), "b": torch.ones(3, 2)}, "steps": 7})
    return path


@pytest.mark.parametrize("kept", [0, 1, 60, 0.3, 0.9, -1])
def test_a_truncated_file_is_found_out(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path / "x.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r"expected a whole checkpoint in .*x.pt, found a damaged one"):
        read_checked(path)


def test_a_changed_byte_anywhere_is_found_out(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pt")
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            read_checked(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint in .*x.pt, found .*No such file"):
        read_checked(tmp_path / "x.pt")


def test_what_others_wrote_is_found_out(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")  # no checksum
    with pytest.raises(CheckpointError, match="damaged"):
        read_checked(tmp_path / "x.pt")


def test_messages_are_one_line() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": torch.randn(1000, 7), "b": [1, {"c": float("inf")}], "shared": None}
    state["point"] = geoopt.ManifoldParameter(torch.ones(3), manifold=geoopt.Sphere())
    with (tmp_path / "x").open("wb") as file:
        write_checked(file, state)
    found = read_checked(tmp_path / "x")
    assert torch.equal(found.pop("a"), state.pop("a"))
    assert type(found["point"]) is torch.Tensor
    assert torch.equal(found.pop("point"), state.pop("point"))
    assert found == state
