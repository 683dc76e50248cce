from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gsam import checkpoints as module
from gsam.checkpoints import (
    CheckpointError,
    Checkpoints,
    failing_well,
)
from gsam.evaluation import NonFiniteError
from gsam.optim import SAM


def pair(width: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(width, 2)
    return model, SAM(model.parameters(), torch.optim.Adam, lr=0.1)


def advance(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.randn(5, model.in_features)).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


def saved(folder: Path, times: int = 1, **options: Any) -> Checkpoints:
    checkpoints, (model, optimizer) = Checkpoints(folder, **options), pair()
    for number in range(times):
        advance(model, optimizer)
        checkpoints.save(model, optimizer, {"number": number})
    return checkpoints


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    checkpoints, (model, optimizer) = Checkpoints(tmp_path), pair()
    advance(model, optimizer)
    progress = {"history": {"loss": [0.25, 1e-300]}, "rows": torch.arange(3), "none": None, "text": "ü"}
    checkpoints.save(model, optimizer, progress)
    advance(model, optimizer, 3)
    other, its = pair()
    torch.manual_seed(99)
    found = checkpoints.restore(other, its)
    assert found is not None
    assert torch.equal(found.pop("rows"), torch.arange(3))
    assert found == {"history": {"loss": [0.25, 1e-300]}, "none": None, "text": "ü"}
    advance(other, its, 3)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_nothing_to_go_on_from(tmp_path: Path) -> None:
    model, optimizer = pair()
    assert Checkpoints(tmp_path / "none").restore(model, optimizer) is None
    assert not (tmp_path / "none").exists()


def test_the_file_is_one_that_torch_reads(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    state = torch.load(checkpoints.last, weights_only=True)
    assert state["progress"] == {"number": 0}
    assert set(state["model"]) == {"weight", "bias"}


# -- damage ------------------------------------------------------------------------------------------------------------


def test_the_one_before_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    notes: list[str] = []
    checkpoints = saved(tmp_path, times=3, on_note=notes.append)
    checkpoints.last.write_bytes(b"broken")
    assert checkpoints.restore(*pair()) == {"number": 1}
    assert "damaged" in notes[0]
    assert "going on from the one before" in notes[0]
    good = checkpoints.previous.read_bytes()
    checkpoints.save(*pair(), {"number": 2})
    assert checkpoints.previous.read_bytes() == good  # the damaged one has not taken its place
    checkpoints.last.unlink()  # as if killed between the two renames
    assert checkpoints.restore(*pair()) == {"number": 1}
    assert len(notes) == 1
    checkpoints.previous.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"previous.pt.*none before it is whole: delete .* to start over"):
        checkpoints.restore(*pair())


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path) -> None:
    """Files of this process may for a moment have 2,000 bytes at most."""
    checkpoints = saved(tmp_path, times=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"to be written to .*the last good one is kept; make room"):
            checkpoints.save(*pair(), {"number": 7})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert checkpoints.restore(*pair()) == {"number": 1}


@pytest.mark.parametrize(
    ("options", "width", "words"),
    [
        ({"about": {"data": "b"}}, 3, "with data a, not b"),
        ({"about": {"data": "a"}}, 4, r"with weights \{'weight': \[2, 3\].*not \{'weight': \[2, 4\]"),
        ({}, 3, "with data a, not None"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    tmp_path: Path, options: dict[str, Any], width: int, words: str
) -> None:
    saved(tmp_path, about={"data": "a"})
    model, optimizer = pair(width)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(CheckpointError, match=words):
        Checkpoints(tmp_path, **options).restore(model, optimizer)
    assert all(map(torch.equal, before, model.parameters()))


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    checkpoints, (model, _) = saved(tmp_path), pair()
    with pytest.raises(CheckpointError, match="with optimizer SAM, not Adam"):
        checkpoints.restore(model, torch.optim.Adam(model.parameters()))


# -- when, and what is left --------------------------------------------------------------------------------------------


def test_due_after_so_many_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, every=5)
    assert not checkpoints.due
    now[0] = 105.0
    assert checkpoints.due
    checkpoints.save(*pair(), {})
    assert not checkpoints.due
    assert Checkpoints(tmp_path, every=0).due
    with pytest.raises(ValueError, match="seconds >= 0"):
        Checkpoints(tmp_path, every=float("nan"))


def test_remove_takes_its_own_files_only(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "a", times=2)
    checkpoints.save_best({"w": torch.ones(2)})
    checkpoints.remove()
    assert not (tmp_path / "a").exists()
    checkpoints.remove()
    other = saved(tmp_path / "b")
    (tmp_path / "b" / "notes.txt").touch()
    other.remove()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["notes.txt"]


def test_a_training_that_fails_leaves_its_best_weights(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with (
        pytest.raises(NonFiniteError, match=r"gone; the best weights so far are in .*best.pt"),
        failing_well(checkpoints, lambda: {"w": torch.ones(2)}),
    ):
        raise NonFiniteError("gone")
    assert torch.equal(torch.load(checkpoints.best, weights_only=True)["w"], torch.ones(2))


@pytest.mark.parametrize("with_folder", [True, False])
def test_without_weights_or_folder_it_just_fails(tmp_path: Path, with_folder: bool) -> None:
    with (
        pytest.raises(NonFiniteError, match=r"^gone$"),
        failing_well(Checkpoints(tmp_path) if with_folder else None, lambda: {} if with_folder else {"w": 1}),
    ):
        raise NonFiniteError("gone")
    assert not list(tmp_path.iterdir())
