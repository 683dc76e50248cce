from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gsam.optim.scratch import Scratch


def test_copies_are_copies_in_memory_that_stays() -> None:
    scratch = Scratch()
    source = [torch.ones(3), torch.zeros(2, 2, dtype=torch.float64)]
    first = scratch.copy("a", source)
    addresses = [t.data_ptr() for t in first]
    source[0].fill_(5.0)
    assert first[0].tolist() == [1.0, 1.0, 1.0]
    second = scratch.copy("a", source)
    assert second[0].tolist() == [5.0, 5.0, 5.0]
    assert [t.data_ptr() for t in second] == addresses
    assert {t.data_ptr() for t in scratch.copy("b", source)}.isdisjoint(addresses)


@pytest.mark.parametrize(
    "later",
    [
        [torch.full((4,), 2.0)],
        [torch.full((3,), 2.0, dtype=torch.float64)],
        [torch.full((3,), 2.0), torch.ones(1)],
        [],
    ],
)
def test_what_no_longer_fits_is_made_anew(later: list[torch.Tensor]) -> None:
    scratch = Scratch()
    scratch.copy("a", [torch.ones(3)])
    found = scratch.copy("a", later)
    assert len(found) == len(later)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, later, strict=True))
    assert all(a.data_ptr() != b.data_ptr() for a, b in zip(found, later, strict=True))


def test_a_copy_of_its_own_copy() -> None:
    """What FGSAM+ does with the gradient it took aside: source and target are the same memory."""
    scratch = Scratch()
    first = scratch.copy("a", [torch.arange(3.0)])
    assert scratch.copy("a", first)[0].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_tensors() -> None:
    scratch = Scratch()
    for value in (1.0, 2.0):
        sparse = torch.sparse_coo_tensor([[1]], [[value]], (3, 1))
        found = scratch.copy("a", [sparse, torch.full((2,), value)])
        sparse._values().zero_()
        assert found[0].to_dense().flatten().tolist() == [0.0, value, 0.0]
        assert found[1].tolist() == [value, value]


def test_a_kind_that_changes() -> None:
    """A table's gradient may be sparse in one step and dense in the next, without one overwriting the other."""
    scratch = Scratch()
    dense = torch.ones(3, 1)
    scratch.copy("a", [dense])
    sparse = dense.to_sparse(1)
    (found,) = scratch.copy("a", [sparse])
    assert found.is_sparse
    (found,) = scratch.copy("a", [2 * dense])
    assert found.tolist() == [[2.0], [2.0], [2.0]]


def test_mappings() -> None:
    key = torch.ones(2)
    found = Scratch().copy_values("a", {key: torch.zeros(2)})
    assert list(found) == [key]
    assert found[key].tolist() == [0.0, 0.0]


def test_copies_of_the_store_are_empty() -> None:
    """The contents are of one step: they would only make checkpoints larger."""
    scratch = Scratch()
    kept = scratch.copy("a", [torch.ones(3)])
    for other in (copy.deepcopy(scratch), pickle.loads(pickle.dumps(scratch))):
        assert other.copy("a", kept)[0].data_ptr() != kept[0].data_ptr()
    assert len(pickle.dumps(scratch)) < 200
