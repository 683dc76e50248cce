from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from gsam.optim.randomness import RandomState


def test_replayed_numbers_are_the_same() -> None:
    torch.manual_seed(0)
    state = RandomState([torch.zeros(1)])
    first = torch.rand(5)
    after = torch.get_rng_state()
    for count in (5, 2, 9):  # as many, fewer, more
        with state.replayed():
            torch.testing.assert_close(torch.rand(count)[:5], first[:count], rtol=0, atol=0)
        assert torch.equal(torch.get_rng_state(), after)


def test_a_first_pass_that_draws_nothing() -> None:
    """Then the block's numbers must not come again."""
    torch.manual_seed(0)
    with RandomState([]).replayed():
        first = torch.rand(5)
    assert not torch.equal(torch.rand(5), first)


def test_a_block_that_draws_nothing() -> None:
    """Then the first pass's numbers must not come again, or dropout would use one mask for ever."""
    torch.manual_seed(0)
    state = RandomState([])
    first = torch.rand(5)
    with state.replayed():
        pass
    assert not torch.equal(torch.rand(5), first)


def test_an_error_in_the_block() -> None:
    state = RandomState([])
    torch.rand(3)
    after = torch.get_rng_state()
    with suppress(ValueError), state.replayed():
        torch.rand(1)
        raise ValueError
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_generator() -> None:
    state = RandomState([torch.zeros(1, device="cuda")])
    first = torch.rand(5, device="cuda")
    with state.replayed():
        assert torch.equal(torch.rand(5, device="cuda"), first)
    assert not torch.equal(torch.rand(5, device="cuda"), first)
