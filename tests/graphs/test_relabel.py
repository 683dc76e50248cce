from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from gsam.graphs import _relabel
from gsam.graphs._relabel import Relabel, relabel_by_sorting

N = 50


def draw(seed: int, repeats: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, N, (9,), generator=generator) if repeats else torch.randperm(N, generator=generator)[:9]
    counts = torch.randint(0, 5, (9,), generator=generator)
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return targets, rowptr, torch.randint(0, N, (int(rowptr[-1]),), generator=generator)


@pytest.mark.parametrize("kind", ["labels", "sorting"])
@pytest.mark.parametrize("seed", range(20))
def test_numbers_nodes_once_and_targets_first(kind, seed):
    targets, rowptr, sources = draw(seed, repeats=seed % 2 == 0)
    relabel = Relabel(N) if kind == "labels" else relabel_by_sorting
    nodes, local = relabel(targets, rowptr, sources)
    assert torch.equal(nodes[: len(targets)], targets)
    assert torch.equal(nodes[local.long()], sources)
    new = nodes[len(targets) :].tolist()
    assert len(set(new)) == len(new)
    assert set(new) == set(sources.tolist()) - set(targets.tolist())


@pytest.mark.parametrize("kind", ["labels", "sorting"])
def test_copies_of_a_target_own_their_self_loops(kind):
    targets, rowptr, sources = torch.tensor([7, 3, 7]), torch.tensor([0, 2, 3, 5]), torch.tensor([7, 3, 7, 7, 4])
    relabel = Relabel(N) if kind == "labels" else relabel_by_sorting
    nodes, local = relabel(targets, rowptr, sources)
    assert nodes.tolist() == [7, 3, 7, 4]
    assert local[0] == 0
    assert local[3] == 2


def test_calls_do_not_see_each_other():
    relabel = Relabel(N)
    for seed in range(20):
        arguments = draw(seed)
        for found, expected in zip(relabel(*arguments), Relabel(N)(*arguments), strict=True):
            assert torch.equal(found, expected)


def test_interrupted_call_leaves_nothing_behind(monkeypatch):
    relabel, arguments = Relabel(N), draw(0)
    expected = relabel(*arguments)

    def interrupted(labels, *_):
        labels[:10] = 3
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_relabel, "_relabel_with", interrupted)
        with pytest.raises(KeyboardInterrupt):
            relabel(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(relabel(*arguments), expected, strict=True))


def test_threads_share_an_instance():
    relabel = Relabel(N)
    expected = [Relabel(N)(*draw(seed)) for seed in range(30)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: relabel(*draw(seed % 30)), range(300)))
    for i, pair in enumerate(found):
        assert all(torch.equal(a, b) for a, b in zip(pair, expected[i % 30], strict=True))


def test_pickles():
    relabel, arguments = Relabel(N), draw(3)
    nodes, _ = relabel(*arguments)
    assert torch.equal(pickle.loads(pickle.dumps(relabel))(*arguments)[0], nodes)
