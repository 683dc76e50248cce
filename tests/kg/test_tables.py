from __future__ import annotations

import pytest
import torch
from geoopt import Euclidean
from torch import nn

from gsam.kg import _tables
from gsam.kg._tables import clip_rows, place_on, row_blocks, table_rows, update_rows
from gsam.manifolds import Lorentz, manifold_of


def test_rows() -> None:
    table = nn.Embedding(5, 2)
    assert table_rows(table, None) is table.weight
    assert torch.equal(table_rows(table, torch.tensor([3, 3])), table.weight[[3, 3]])


def test_clipping_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(clip_rows(x, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    x[0] = torch.nan
    assert clip_rows(x, 1.0)[0].isnan().all()


def test_clipping_gradient() -> None:
    """Beyond the limit only the direction counts: what is left has no radial part."""
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]], requires_grad=True)
    (clip_rows(x, 1.0) * torch.tensor([2.0, 1.0])).sum().backward()
    # d(x/|x|) = (I - xx'/|x|^2)/|x|:  (2, 1) - 2 (.6, .8) = (.8, -.6), over 5
    torch.testing.assert_close(x.grad, torch.tensor([[0.16, -0.12], [2.0, 1.0], [2.0, 1.0]]))


@pytest.mark.parametrize("rows", [None, [2, 0, 2]])
def test_writing_in_place(rows: list[int] | None) -> None:
    weight = nn.Parameter(torch.arange(6.0).view(3, 2))
    pointer = weight.data_ptr()
    update_rows(weight, None if rows is None else torch.tensor(rows), lambda found: found + 10)
    added = torch.tensor([[10.0], [10.0 if rows is None else 0.0], [10.0]])
    assert torch.equal(weight.detach(), torch.arange(6.0).view(3, 2) + added)
    assert weight.data_ptr() == pointer
    assert weight.requires_grad


@pytest.mark.parametrize("length", [1, 15, 16, 31, 32, 47, 48, 63, 64, 65, 200])
def test_blocks_are_all_rows_and_draw_what_the_whole_draws(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(_tables, "_BLOCK", 32 * 3)
    weight = torch.arange(3.0 * length).view(length, 3)
    blocks = list(row_blocks(weight))
    assert torch.equal(torch.cat(blocks), weight)
    assert all(len(block) < 32 + 16 for block in blocks)
    whole = torch.empty(length, 3).normal_(generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    for block in blocks:
        block.normal_(generator=generator)
    assert torch.equal(weight, whole)


def test_place_on() -> None:
    table, manifold = nn.Embedding(4, 3), Lorentz()
    with torch.no_grad():
        table.weight.copy_(manifold.projx(table.weight))
    before = table.weight.detach().clone()
    place_on(table, manifold)
    assert manifold_of(table.weight) is manifold
    assert torch.equal(table.weight, before)
    assert isinstance(manifold_of(nn.Embedding(1, 1).weight), Euclidean)
