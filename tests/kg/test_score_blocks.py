from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.nn.kge import DistMult, TransE

from gsam.kg import score_blocks
from gsam.kg.models import HyboNet
from gsam.kg.score_blocks import LANES, AllEntities, ByQuery, ByRelation, Pool, padded, rows_per_block
from gsam.kg.scorers import scorer

N, R, Q = 101, 5, 43


def queries() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    relation = torch.randint(R - 1, (Q,), generator=generator).sort().values  # one relation does not occur
    return torch.randint(N, (Q,), generator=generator), relation


def gathered(blocks: ByQuery | ByRelation) -> Tensor:
    """All scores [Q, N], checked to come as announced."""
    found = list(blocks)
    bounds = blocks.bounds()
    assert [len(block) for block in found] == [stop - start for start, stop in bounds]
    assert all(len(block) <= blocks.rows for block in found)
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    for block in found:
        torch.testing.assert_close(block[:, N:], block[:, N - 1 : N].expand(-1, block.shape[1] - N))
    return torch.cat([block[:, :N] for block in found])


@pytest.mark.parametrize("rows", [1, 7, 16, 500])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("kind", [DistMult, TransE, HyboNet])
def test_tails_of_all_queries_in_order(monkeypatch: pytest.MonkeyPatch, kind: Any, kept: bool, rows: int) -> None:
    if not kept:
        monkeypatch.setattr(score_blocks, "_PARTS_LIMIT", 300)
        monkeypatch.setattr(score_blocks, "_CHUNK", 300)
    monkeypatch.setattr(score_blocks, "_QUERIES", 20)
    model = kind(N, R, 6).double()
    entity, relation = queries()
    ours = scorer(model)
    blocks = ByQuery(ours, ours.query, entity, relation, Pool(N), rows)
    expected = model(entity.repeat_interleave(N), relation.repeat_interleave(N), torch.arange(N).repeat(Q)).view(Q, N)
    with torch.no_grad():
        torch.testing.assert_close(gathered(blocks), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 7, 500])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("kind", [DistMult, TransE, HyboNet])
def test_heads_of_all_queries_in_order(monkeypatch: pytest.MonkeyPatch, kind: Any, kept: bool, rows: int) -> None:
    if not kept:
        monkeypatch.setattr(score_blocks, "_PARTS_LIMIT", 300)
        monkeypatch.setattr(score_blocks, "_CHUNK", 300)
    model = kind(N, R, 6).double()
    entity, relation = queries()
    blocks = ByRelation(scorer(model), entity, relation, Pool(N), rows)
    expected = model(torch.arange(N).repeat(Q), relation.repeat_interleave(N), entity.repeat_interleave(N)).view(Q, N)
    with torch.no_grad():
        torch.testing.assert_close(gathered(blocks), expected, rtol=1e-10, atol=1e-10)


def test_parts_are_made_once_if_they_fit_and_in_bounded_pieces_if_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def make(index: Tensor) -> tuple[Tensor]:
        asked.append(len(index))
        return (index.double().unsqueeze(1),)

    entities = AllEntities(make, Pool(2 * LANES), torch.device("cpu"))
    for _ in range(3):
        assert entities.scores(lambda parts: parts[0].mT).equal(torch.arange(2.0 * LANES, dtype=torch.float64)[None])
    assert asked == [1, 2 * LANES]
    monkeypatch.setattr(score_blocks, "_PARTS_LIMIT", LANES)
    monkeypatch.setattr(score_blocks, "_CHUNK", LANES)
    asked.clear()
    entities = AllEntities(make, Pool(2 * LANES + 1), torch.device("cpu"))
    for _ in range(2):
        found = entities.scores(lambda parts: parts[0].mT)
        assert found[0, : 2 * LANES + 1].equal(torch.arange(2.0 * LANES + 1, dtype=torch.float64))
    assert asked == [1, *[LANES] * 6]


@pytest.mark.parametrize("length", [1, LANES - 1, LANES, LANES + 1])
def test_padding_repeats_the_last_entry(length: int) -> None:
    found = padded(torch.arange(length))
    assert len(found) % LANES == 0
    assert found[:length].equal(torch.arange(length))
    assert bool((found[length:] == length - 1).all())
    assert len(found) - length < LANES


def test_blocks_stay_small_however_many_entities_there_are() -> None:
    cpu = torch.device("cpu")
    assert rows_per_block(40_943, cpu) * 40_943 <= 2**21
    assert rows_per_block(2_500_604, cpu) == 16
    assert rows_per_block(2_500_604, torch.device("cuda")) * 2_500_604 <= 2**26


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [5, 33, 200])
@pytest.mark.parametrize("kind", [DistMult, TransE, HyboNet])
def test_equal_entities_score_equal_to_the_last_bit(kind: Any, dim: int, dtype: torch.dtype) -> None:
    model = kind(N, R, dim, **({"p_norm": 2.0} if kind is TransE else {})).to(dtype)
    with torch.no_grad():
        for table in [model.node_emb.weight, *([model.head_bias.weight] if kind is HyboNet else [])]:
            table.copy_(table[:1].clone())
        entity, relation = queries()
        ours = scorer(model)
        for rows in (1, 2, 7, 16):
            found = list(ByQuery(ours, ours.query, entity, relation, Pool(N), rows))
            if kind is not HyboNet:  # the queries of equal heads of one with a matrix product differ in the last bits
                found += ByRelation(ours, entity, relation, Pool(N), rows)
            assert all(bool((block == block[:, :1]).all()) for block in found)


def test_blocks_share_parts_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and blocks are the same, and parts are made once for as many blocks as may be scored together."""
    model = HyboNet(2 * LANES + 5, R, 6)
    entity, relation = torch.arange(20), torch.zeros(20, dtype=torch.long)
    made: list[int] = []
    plain = model.candidates
    blocks = ByQuery(model, model.query, entity, relation, Pool(model.num_nodes), 3)
    with torch.no_grad():
        expected = list(blocks)
        monkeypatch.setattr(score_blocks, "_PARTS_LIMIT", 0)
        monkeypatch.setattr(score_blocks, "_CHUNK", 1)
        monkeypatch.setattr(model, "candidates", lambda index: made.append(len(index)) or plain(index))
        for together, passes in ((1, 7), (2, 4), (100, 1)):
            made.clear()
            monkeypatch.setattr(score_blocks, "_TOGETHER", together * 3 * 3 * LANES)
            found = list(blocks)
            assert [len(block) for block in found] == [len(block) for block in expected]
            torch.testing.assert_close(torch.cat(found), torch.cat(expected), rtol=1e-5, atol=1e-5)
            assert made == [1, *[LANES] * (3 * passes)]
