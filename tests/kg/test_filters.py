from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gsam.kg.filters import KnownTails

N, R = 6, 4

triple_lists = st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, R - 1), st.integers(0, N - 1)), max_size=60)


def known_tails(triples: list[tuple[int, int, int]]) -> KnownTails:
    return KnownTails(torch.tensor(triples, dtype=torch.long).view(-1, 3), N, R)


def every_query() -> tuple[Tensor, Tensor]:
    grid = torch.cartesian_prod(torch.arange(N), torch.arange(R))
    order = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))
    return grid[order, 0], grid[order, 1]


@settings(max_examples=60, deadline=None)
@given(triple_lists)
def test_pairs_are_those_of_a_set_of_triples(triples: list[tuple[int, int, int]]) -> None:
    known = known_tails(triples)
    head, relation = every_query()
    query = known.number(head, relation)
    rows, tails = known.pairs(query)
    expected = [
        (row, t)
        for row, (h, r) in enumerate(zip(head.tolist(), relation.tolist(), strict=True))
        for t in sorted({t for a, b, t in triples if (a, b) == (h, r)})
    ]
    assert list(zip(rows.tolist(), tails.tolist(), strict=True)) == expected
    assert known.counts[query].sum() == len(expected)


@settings(max_examples=60, deadline=None)
@given(triple_lists)
def test_contains_is_membership_in_a_set_of_triples(triples: list[tuple[int, int, int]]) -> None:
    known = known_tails(triples)
    head, relation = every_query()
    entities = torch.arange(N).expand(len(head), N)
    found = known.contains(known.number(head, relation), entities)
    expected = [
        [(h, r, t) in set(triples) for t in range(N)] for h, r in zip(head.tolist(), relation.tolist(), strict=True)
    ]
    assert found.tolist() == expected


def test_a_given_total_changes_nothing() -> None:
    known = known_tails([(1, 2, 3), (1, 2, 0), (4, 0, 0), (1, 2, 3)])
    query = known.number(torch.tensor([1, 5, 4]), torch.tensor([2, 1, 0]))
    for given_total, counted in zip(known.pairs(query, 3), known.pairs(query), strict=True):
        assert given_total.equal(counted)
    assert [part.tolist() for part in known.pairs(query)] == [[0, 0, 2], [0, 3, 0]]


def test_queries_without_known_tails_share_the_last_number() -> None:
    known = known_tails([(1, 2, 3), (1, 1, 3)])
    assert known.number(torch.tensor([1, 1, 0, 5]), torch.tensor([1, 2, 0, 3])).tolist() == [0, 1, 2, 2]
    assert known.counts.tolist() == [1, 1, 0]


def test_keys_of_a_large_graph_do_not_overflow() -> None:
    size, relations = 2_500_604, 2 * 535
    triples = torch.tensor([[size - 1, relations - 1, size - 1], [size - 1, relations - 1, 0], [0, 0, size - 1]])
    known = KnownTails(triples, size, relations)
    query = known.number(triples[:, 0], triples[:, 1])
    rows, tails = known.pairs(query[[0, 2]])
    assert (rows.tolist(), tails.tolist()) == ([0, 0, 1], [0, size - 1, size - 1])


def test_moving_keeps_everything_and_leaves_the_original() -> None:
    known = known_tails([(1, 2, 3), (4, 0, 0)])
    moved = known.to("meta")
    assert moved.counts.device.type == "meta"
    assert known.counts.device.type == "cpu"
    again = known.to("cpu")
    assert again.pairs(torch.tensor([0, 1]))[1].equal(known.pairs(torch.tensor([0, 1]))[1])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_lookups_agree_on_a_gpu() -> None:
    known = known_tails([(1, 2, 3), (1, 2, 0), (4, 0, 0)])
    head, relation = every_query()
    there = known.to("cuda")
    query = there.number(head.cuda(), relation.cuda())
    for ours, theirs in zip(known.pairs(known.number(head, relation)), there.pairs(query), strict=True):
        assert theirs.cpu().equal(ours)
