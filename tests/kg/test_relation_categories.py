from __future__ import annotations

import pytest
import torch

from gsam.kg.relation_categories import (
    CATEGORIES,
    functional_relations,
    relation_categories,
    symmetric_relations,
    turned_relations,
)
from gsam.kg.triples import with_reciprocals
from tests.kg.naive_ranking import random_graph


def naive_category(triples: set[tuple[int, int, int]], relation: int) -> str:
    own = {(h, t) for h, r, t in triples if r == relation}
    tails = [len({t for a, t in own if a == h}) for h in {h for h, _ in own}]
    heads = [len({h for h, b in own if b == t}) for t in {t for _, t in own}]
    sides = ["N" if sum(counts) / len(counts) >= 1.5 else "1" for counts in (heads, tails)]
    return "-".join(sides)


def test_one_relation_of_each_kind() -> None:
    triples = [
        *[(0, 0, 1), (2, 0, 3)],  # one to one
        *[(0, 1, 1), (0, 1, 2), (0, 1, 3)],  # one head, three tails
        *[(1, 2, 0), (2, 2, 0), (3, 2, 0)],  # three heads, one tail
        *[(h, 3, t) for h in (0, 1) for t in (2, 3)],
    ]
    assert [CATEGORIES[c] for c in relation_categories(torch.tensor(triples), 4)] == ["1-1", "1-N", "N-1", "N-N"]


def test_exactly_one_and_a_half_is_many() -> None:
    triples = torch.tensor([(0, 0, 1), (0, 0, 2), (3, 0, 4)])  # three tails over two heads
    assert CATEGORIES[relation_categories(triples, 1)[0]] == "1-N"


def test_duplicates_count_once() -> None:
    triples = torch.tensor([(0, 0, 1)] * 5 + [(2, 0, 3)])
    assert CATEGORIES[relation_categories(triples, 1)[0]] == "1-1"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [40, 70, 160])
def test_equals_counting_by_sets(seed: int, count: int) -> None:
    graph = random_graph(30, 5, count=count, seed=seed)
    triples = {tuple(row) for row in graph.train.tolist()}
    found = [CATEGORIES[c] for c in relation_categories(graph.train, 5)]
    assert found == [naive_category(triples, r) for r in range(5)]


def test_a_relation_without_triples_has_no_category() -> None:
    assert relation_categories(torch.tensor([(0, 0, 1), (0, 2, 1)]), 4).tolist() == [0, -1, 0, -1]


@pytest.mark.parametrize("seed", range(4))
def test_symmetric_relations_equal_counting_by_sets(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one_way = torch.stack([torch.randint(high, (60,), generator=generator) for high in (9, 5, 9)], 1)
    back = one_way[one_way[:, 1] < 2][:, [2, 1, 0]]
    triples = torch.cat([one_way, back, one_way[:7]])
    rows = {tuple(row) for row in triples.tolist() if row[0] != row[2]}
    shares = []
    for relation in range(6):
        own = [row for row in rows if row[1] == relation]
        shares.append(2 * sum((t, r, h) in rows for h, r, t in own) > len(own))
    assert symmetric_relations(triples, 6).tolist() == shares
    assert shares[:2] == [True, True]


def test_half_is_not_most_and_loops_do_not_count() -> None:
    triples = torch.tensor([(0, 0, 1), (1, 0, 0), (0, 0, 2), (0, 0, 3), (0, 1, 0), (1, 1, 1)])
    assert symmetric_relations(triples, 3).tolist() == [False, False, False]
    assert symmetric_relations(triples[:0], 2).tolist() == [False, False]


def test_functional_relations_have_less_than_three_tails_for_two_heads() -> None:
    one_tail, three_for_two, none = [(0, 0, 9), (1, 0, 9), (2, 0, 8)], [(0, 1, 5), (0, 1, 6), (4, 1, 5)], 2
    between = [(0, 3, 5), (0, 3, 6), (4, 3, 5), (6, 3, 5)]
    triples = torch.tensor([*one_tail, *one_tail, *three_for_two, *between])
    assert functional_relations(triples, none + 2).tolist() == [True, False, False, True]


def test_turned_relations_have_many_answers_and_reciprocals_with_one() -> None:
    """Of relation 0 a head has three tails, and a tail one head; 1 is one to one; of 2 both sides have many."""
    fan, pairs = [(0, 0, 5), (0, 0, 6), (0, 0, 7)], [(0, 1, 5), (1, 1, 6)]
    grid = [(head, 2, tail) for head in range(3) for tail in range(4, 7)]
    triples = with_reciprocals(torch.tensor([*fan, *pairs, *grid]), 4)
    assert turned_relations(triples, 8).nonzero().flatten().tolist() == [0]
    flipped = with_reciprocals(torch.tensor([(tail, relation, head) for head, relation, tail in fan]), 4)
    assert turned_relations(flipped, 8).nonzero().flatten().tolist() == [4]
