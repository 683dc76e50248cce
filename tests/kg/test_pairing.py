from __future__ import annotations

import torch

from gsam.kg._pairing import EVERY_PAIR, OWN_CANDIDATES, ROW_BY_ROW


def test_shapes_and_values_of_the_three_ways() -> None:
    torch.manual_seed(0)
    query, candidates = torch.randn(4, 3), torch.randn(5, 3)
    left, right = torch.randn(4, 1), torch.randn(5, 1)
    table = torch.tensor([[sum(q * c).item() for c in candidates] for q in query])
    torch.testing.assert_close(EVERY_PAIR.inner(query, candidates), table)
    sums = EVERY_PAIR.left(left) + EVERY_PAIR.right(right)
    assert torch.equal(sums, left + right.flatten())
    torch.testing.assert_close(ROW_BY_ROW.inner(query, candidates[:4]), table.diagonal())
    assert torch.equal(ROW_BY_ROW.left(left) + ROW_BY_ROW.right(right[:4]), sums.diagonal())
    chosen = torch.randint(5, (4, 2))
    torch.testing.assert_close(OWN_CANDIDATES.inner(query, candidates[chosen]), table.gather(1, chosen))
    own = OWN_CANDIDATES.left(left) + OWN_CANDIDATES.right(right[chosen])
    assert torch.equal(own, sums.gather(1, chosen))
