from __future__ import annotations

import pytest
import torch

from gsam.kg.triples import reciprocals, with_reciprocals

TRIPLES = torch.tensor([[0, 0, 5], [7, 2, 7], [3, 1, 4], [3, 1, 4]])


def test_reciprocals_swap_the_entities_and_shift_the_relation() -> None:
    assert reciprocals(TRIPLES, 3).tolist() == [[5, 3, 0], [7, 5, 7], [4, 4, 3], [4, 4, 3]]


def test_the_triples_come_first_in_their_order_and_keep_their_type() -> None:
    found = with_reciprocals(TRIPLES, 3)
    assert found[:4].equal(TRIPLES)
    assert found[4:].tolist() == [[5, 3, 0], [7, 5, 7], [4, 4, 3], [4, 4, 3]]
    assert found.dtype == torch.int64


def test_no_triples_have_no_reciprocals() -> None:
    assert with_reciprocals(TRIPLES[:0], 3).shape == (0, 3)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected triples \[T, 3\]"):
        with_reciprocals(torch.zeros(shape, dtype=torch.long), 3)
