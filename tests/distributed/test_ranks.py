"""What processes tell each other, and how one without others gets along."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from gsam.distributed import ALONE, Ranks, join, own_device
from tests.processes import in_processes


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 6, 20])
def test_shares_are_a_partition(size: int, count: int) -> None:
    things = list(range(count))
    shares = [Ranks(rank, size).share(things) for rank in range(size)]
    assert [thing for share in shares for thing in share] == things
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    rows = torch.arange(2 * count).view(count, 2)
    assert torch.equal(torch.cat([Ranks(rank, size).share(rows) for rank in range(size)]), rows)


def test_one_process_sends_nothing() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ALONE.first
    assert ALONE.about() == {}
    assert ALONE.same("a") == "a"
    assert ALONE.gather(3) == [3]
    assert ALONE.first_does(lambda: 5) == ALONE.all_do(lambda: 5) == ALONE.in_turn(lambda: 5) == 5
    assert ALONE.exchange(values, [2], [2]).tolist() == ALONE.collect(values).tolist() == [1.0, 2.0]
    for found in (ALONE.sum(values), ALONE.mean(values), ALONE.largest(values), ALONE.rows(values)):
        assert found.tolist() == [1.0, 2.0]
    before = torch.get_rng_state()
    ALONE.draw_apart()
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= rank < size, found rank 2 of 2"):
        Ranks(2, 2)
    with pytest.raises(ValueError, match="ascent among global, local, found 'all'"):
        Ranks(ascent="all")
    with pytest.raises(ValueError, match="timeout of more than 0 seconds, found 0"):
        join(timeout=0)


def test_a_process_that_nobody_started_with_others_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert join() == ALONE
    assert own_device("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda") == "cuda:3"
    assert own_device("cpu") == "cpu"


def conversation(ranks: Ranks) -> dict[str, Any]:
    own = torch.tensor([1.0 + ranks.rank, 10.0])
    torch.manual_seed(0)
    ranks.draw_apart()
    found = {
        "about": ranks.about(),
        "same": ranks.same({"rank": ranks.rank}),
        "gather": ranks.gather("ab"[ranks.rank]),
        "sum": ranks.sum(own.clone()),
        "mean": ranks.mean(own),
        "own": own,
        "largest": ranks.largest(torch.tensor([ranks.rank, 5 - ranks.rank])),
        "rows": ranks.rows(torch.full((2 * ranks.rank + 1, 2), float(ranks.rank))),
        "none from the first": ranks.rows(torch.ones(ranks.rank, 3)),
        "drawn": torch.rand(3),
        "done": ranks.first_does(lambda: ranks.rank),
    }

    sent = torch.tensor([[1, 2, 3], [4, 5, 6]][ranks.rank])
    going, coming = ([2, 1], [2, 0]) if ranks.first else ([0, 3], [1, 3])
    found["exchanged"] = ranks.exchange(sent, going, coming).tolist()
    found["collected"] = ranks.collect(sent[: 1 + ranks.rank])
    found["turns"] = ranks.in_turn(lambda: (time.monotonic(), time.sleep(0.05), time.monotonic()))

    def fails() -> None:
        raise ValueError("no room")

    def one_fails() -> str:
        return "done" if ranks.first else ranks.missing  # type: ignore[attr-defined,no-any-return]

    for name, work in {"error": lambda: ranks.first_does(fails), "one": lambda: ranks.all_do(one_fails)}.items():
        try:
            work()
        except (AttributeError, ValueError) as error:
            found[name] = str(error)
    return found


def test_two_processes(tmp_path: Path) -> None:
    first, second = in_processes(conversation, tmp_path)
    for found in (first, second):
        assert found["about"] == {"processes": 2, "ascent": "global"}
        assert found["same"] == {"rank": 0}
        assert found["gather"] == ["a", "b"]
        assert found["sum"].tolist() == [3.0, 20.0]
        assert found["mean"].tolist() == [1.5, 10.0]
        assert found["largest"].tolist() == [1, 5]
        assert found["rows"].tolist() == [[0.0, 0.0], *[[1.0, 1.0]] * 3]
        assert found["none from the first"].tolist() == [[1.0, 1.0, 1.0]]
        assert (found["done"], found["error"]) == (0, "no room")
        assert "no attribute 'missing'" in found["one"]
    assert (first["exchanged"], second["exchanged"]) == ([1, 2], [3, 4, 5, 6])
    assert (first["collected"].tolist(), second["collected"].tolist()) == ([1, 4, 5], [4, 5])
    assert first["turns"][2] <= second["turns"][0]
    assert second["own"].tolist() == [2.0, 10.0]  # the mean is not taken in place
    torch.manual_seed(0)
    assert torch.equal(first["drawn"], torch.rand(3))
    assert not torch.equal(first["drawn"], second["drawn"])


def one_leaves(ranks: Ranks) -> None:
    if not ranks.first:
        os._exit(0)
    ranks.sum(torch.ones(1))


def test_the_others_are_told_of_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ProcessRaisedException, match="LostProcessError: expected all processes of this training to"):
        in_processes(one_leaves, tmp_path)
