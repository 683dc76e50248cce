from __future__ import annotations

import numpy as np
import pytest

from gsam.datasets.triple_split import shuffled, split_rows, splitmix64
from gsam.datasets.triples import Integers


def naive_splitmix64(state: int, count: int) -> list[int]:
    """The generator with Python's whole numbers, one step at a time."""
    mask, numbers = 2**64 - 1, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ (z >> 31))
    return numbers


@pytest.mark.parametrize("state", [0, 1, 1234567, 2**64 - 1, 2**70 + 5])
def test_generator(state: int) -> None:
    assert splitmix64(state, 20).tolist() == naive_splitmix64(state, 20)


def test_published_numbers_of_the_generator() -> None:
    assert splitmix64(1234567, 3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_shuffle_is_a_permutation_that_never_changes() -> None:
    assert sorted(shuffled(1000, 3).tolist()) == list(range(1000))
    assert shuffled(8, 0).tolist() == shuffled(8, 0).tolist() != shuffled(8, 1).tolist()
    near = [abs(int(a) - int(b)) for a, b in zip(shuffled(1000, 0), shuffled(1000, 1), strict=True)]
    assert np.mean(near) == pytest.approx(1000 / 3, rel=0.1), "orders of near seeds are independent"


def dense(seed: int = 0) -> Integers:
    rng = np.random.default_rng(seed)
    return np.unique(np.stack([rng.integers(0, n, 900) for n in (60, 4, 60)], axis=1), axis=0)


def tree(nodes: int, seed: int = 0) -> Integers:
    rng = np.random.default_rng(seed)
    return np.array([[node, 0, rng.integers(0, node)] for node in range(1, nodes)])


@pytest.mark.parametrize("seed", range(5))
def test_training_sees_all_and_the_parts_are_a_partition(seed: int) -> None:
    triples = dense(seed)
    rows = split_rows(triples, 80, seed=seed)
    assert [len(part) for part in rows.values()] == [len(triples) - 160, 80, 80]
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(triples)))
    train = triples[rows["train"]]
    assert set(train[:, 1]) == set(triples[:, 1])
    assert set(train[:, [0, 2]].ravel()) == set(triples[:, [0, 2]].ravel())
    assert all((np.diff(part) > 0).all() for part in rows.values())


def test_the_draw_depends_on_the_seed_only() -> None:
    triples = dense()
    first, again, other = (split_rows(triples, 80, seed=seed)["test"].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_held_out_rows_are_a_fair_sample() -> None:
    """Where no row is needed, each is held out equally often."""
    triples = np.array([[h, 0, t] for h in range(12) for t in range(12)])
    count = np.zeros(len(triples))
    for seed in range(300):
        rows = split_rows(triples, 10, seed=seed)
        assert len(rows["test"]) == 10
        count[rows["test"]] += 1
    expected = 300 * 10 / len(triples)
    assert abs(count - expected).max() < 5 * expected**0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_holds_out_inner_edges_first(seed: int) -> None:
    """An edge to a leaf is the only one of the leaf. It serves the inner node as well, so a third of the edges is free;
    if each node kept an edge drawn at random, only a quarter would be."""
    triples = tree(400, seed)
    rows = split_rows(triples, 65, seed=seed)
    assert set(triples[rows["train"]][:, [0, 2]].ravel()) == set(range(400))
    assert len(rows["valid"]) == len(rows["test"]) == 65


def test_a_star_has_its_size_at_the_price_of_unseen_entities() -> None:
    triples = np.array([[leaf, 0, 0] for leaf in range(1, 101)])
    rows = split_rows(triples, 10, seed=0)
    assert [len(part) for part in rows.values()] == [80, 10, 10]


def test_only_rows_of_a_relation_stay() -> None:
    triples = np.array([[i, i, i + 1] for i in range(10)])
    rows = split_rows(triples, 2, seed=0)
    assert [len(part) for part in rows.values()] == [10, 0, 0]
    assert [len(part) for part in split_rows(triples[:0], 1, seed=0).values()] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_rows_to_keep_are_kept(seed: int) -> None:
    triples = dense(seed)
    keep = np.arange(len(triples)) % 3 > 0
    rows = split_rows(triples, 80, seed=seed, keep=keep)
    assert set(np.flatnonzero(keep)) <= set(rows["train"])
    assert len(rows["valid"]) == len(rows["test"]) == 80
