from __future__ import annotations

import math

import pytest
import torch

from gsam.optim.vectors import (
    aligned,
    dots,
    host,
    norm,
    norms,
    places,
    plus_,
    scaled,
    squared_norm,
    squares,
    unit_rejection,
    values,
    weighted_sum_,
    with_entries,
)
from tests.optim.problems import flat

SHAPES = [(3, 2), (4,), (), (0, 3)]


def draw(seed: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for shape in SHAPES]


def test_against_flattened_vectors() -> None:
    a, b = draw(0), draw(1)
    torch.testing.assert_close(norms(a), torch.stack([t.norm() for t in a]))
    torch.testing.assert_close(squared_norm(a), flat(a).square().sum())
    torch.testing.assert_close(dots(a, b).sum(), flat(a) @ flat(b))
    assert norm(a) == pytest.approx(flat(a).norm().item(), rel=1e-14)
    assert host(squared_norm(a), dots(a, b).sum()) == pytest.approx(
        [flat(a).square().sum().item(), (flat(a) @ flat(b)).item()]
    )


def test_nothing_has_length_zero() -> None:
    assert norm([]) == 0.0
    assert squared_norm([]) == 0.0
    assert dots([], []).shape == (0,)
    assert unit_rejection([], []) == []


@pytest.mark.parametrize("first", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_neither_overflows_nor_loses_digits(first: torch.dtype) -> None:
    """300^2 * 10^4 overflows float16, and a bfloat16 norm has three digits; mixed lists behave like pure ones."""
    half = [torch.full((10_000,), 300.0, dtype=d) for d in (torch.float16, torch.bfloat16)]
    lists = [half, [torch.full((2,), 4.0, dtype=first), *half], [torch.full((2,), 4.0, dtype=torch.float64), *half]]
    for tensors in lists:
        exact = math.sqrt(sum((t.double() ** 2).sum().item() for t in tensors))
        assert norm(tensors) == pytest.approx(exact, rel=1e-6)
    assert dots(half, half).tolist() == pytest.approx([9e8, 9e8], rel=1e-6)


def test_sum_of_squares_keeps_the_small_ones() -> None:
    """In float32 the 1000 ones would vanish beside 1e8."""
    tensors = [torch.tensor([1e4])] + [torch.ones(1)] * 1000
    assert squared_norm(tensors).item() == 1e8 + 1000


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_entry_shows(bad: float) -> None:
    tensors = draw(0)
    tensors[1][2] = bad
    assert not math.isfinite(norm(tensors))


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_values_count_duplicates_once() -> None:
    """Two entries at the same place are their sum: norm 3, not sqrt(1 + 4)."""
    grad = torch.sparse_coo_tensor([[1, 1]], [[1.0], [2.0]], (4, 1))
    assert norm([values(grad)]) == 3.0
    dense = torch.ones(2)
    assert values(dense) is dense


@pytest.mark.parametrize("together", [True, False])
def test_unit_rejection_against_formula(together: bool) -> None:
    """Against ``v - <v,h>/<h,h> h`` of flattened vectors, normalised; the inputs are left alone."""
    v, h = draw(0), draw(1)
    kept = flat(v).clone(), flat(h).clone()
    found = unit_rejection(v, h, together=together)
    lists = [(v, h, found)] if together else [([a], [b], [c]) for a, b, c in zip(v, h, found, strict=True)]
    for vector, axis, part in (map(flat, triple) for triple in lists):
        if vector.numel() > 1:
            rest = vector - (vector @ axis) / (axis @ axis) * axis
            torch.testing.assert_close(part, rest / rest.norm(), rtol=1e-13, atol=1e-15)
            assert abs(part @ axis) < 1e-14 * axis.norm()
        else:  # a single number has no part orthogonal to another one
            assert part.abs().sum() == 0
    assert [t.shape for t in found] == [t.shape for t in v]
    assert torch.equal(kept[0], flat(v))
    assert torch.equal(kept[1], flat(h))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_parallel_vectors_leave_no_noise(dtype: torch.dtype) -> None:
    """What is left of 3.7 h is rounding error; scaled to length 1 it would be a random direction."""
    for seed in range(20):
        h = [torch.randn(50, generator=torch.Generator().manual_seed(seed)).to(dtype), *draw(seed, dtype)]
        found = unit_rejection([(3.7 * t.double()).to(dtype) for t in h], h)
        assert all(not part.any() for part in found)


def test_small_but_real_angles_survive() -> None:
    """An angle of 1e-4 in float32 is well above rounding."""
    h = [torch.tensor([1.0, 0.0, 0.0])]
    (found,) = unit_rejection([torch.tensor([5.0, 5e-4, 0.0])], h)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 0.0]))


def test_zero_axis_and_zero_vector() -> None:
    v = draw(0)
    zero = [torch.zeros_like(t) for t in v]
    torch.testing.assert_close(flat(unit_rejection(v, zero)), flat(v) / flat(v).norm())
    assert not flat(unit_rejection(zero, v)).any()


@pytest.mark.parametrize("together", [True, False])
def test_what_underflows_counts_as_zero(together: bool) -> None:
    """Squares below 1e-38 are lost in float32, but a single number's norm is its absolute value, however small."""
    v = [torch.full((960,), 1e-3), torch.tensor([2e-3])]
    small = [torch.full((960,), 4e-39), torch.tensor([1.2e-42])]
    expected = (
        torch.nn.functional.normalize(flat(v), dim=0) if together else torch.cat([v[0] / v[0].norm(), torch.ones(1)])
    )
    torch.testing.assert_close(flat(unit_rejection(v, small, together=together)), expected)
    assert not flat(unit_rejection(small, [torch.ones_like(t) for t in v], together=together)).any()
    exact = unit_rejection([t.double() for t in small], [torch.ones_like(t).double() for t in v])
    assert norm(exact) == pytest.approx(1.0)  # float64 has room for them


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_no_direction_from_bad_numbers(bad: float, where: int) -> None:
    arguments = draw(0), draw(1)
    arguments[where][0][0, 0] = bad
    assert unit_rejection(*arguments) is None


ROWS: dict[str, tuple[list[int], list[float]] | None] = {
    "some": ([3, 1, 3], [1.0, 2.0, 4.0]),
    "same": ([1, 3], [7.0, -1.0]),
    "others": ([0, 4], [1.0, 2.0]),
    "none": ([], []),
    "dense": None,
}


def table(name: str) -> torch.Tensor:
    """A 5 x 2 gradient, row-sparse (uncoalesced, some) or dense."""
    found = ROWS[name]
    if found is None:
        return torch.arange(10.0, dtype=torch.float64).view(5, 2)
    rows, entries = found
    values_ = torch.tensor(entries, dtype=torch.float64).view(-1, 1) * torch.tensor([1.0, -2.0], dtype=torch.float64)
    return torch.sparse_coo_tensor(torch.tensor([rows], dtype=torch.long).view(1, -1), values_, (5, 2))


def dense(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_dense() if tensor.is_sparse else tensor


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("left", ROWS)
@pytest.mark.parametrize("right", ROWS)
def test_row_sparse_algebra_against_dense(left: str, right: str) -> None:
    a, b = dense(table(left)), dense(table(right))
    torch.testing.assert_close(dots([table(left)], [table(right)]), (a * b).sum().view(1))
    torch.testing.assert_close(dense(plus_(table(left), table(right), -0.5)), a - 0.5 * b)
    torch.testing.assert_close(dense(weighted_sum_([(table(left), 2.0), (table(right), 3.0)])), 2 * a + 3 * b)
    torch.testing.assert_close(dense(scaled(table(left), 3.0)), 3 * a)
    torch.testing.assert_close(squares([table(left)]), a.square().sum().view(1))
    (found,) = unit_rejection([table(left)], [table(right)])
    rest = a - ((a * b).sum() / b.square().sum() * b if b.any() else 0)
    length = rest.norm() if rest.norm() > 1e-9 * a.norm() else torch.tensor(math.inf)
    torch.testing.assert_close(dense(found), rest / length)


def test_weighted_sum_leaves_out_what_has_no_weight() -> None:
    """An infinite gradient of weight zero must not become NaN; without a term there is no gradient."""
    bad, good = torch.tensor([math.inf]), torch.tensor([3.0])
    assert weighted_sum_([(bad, 0.0), (good, 2.0)]).tolist() == [6.0]
    assert weighted_sum_([(bad, 0.0)]) is None
    assert weighted_sum_([]) is None


def test_weighted_sum_uses_the_first_dense_memory() -> None:
    first, second = torch.ones(2), torch.ones(2)
    assert weighted_sum_([(first, 2.0), (second, 3.0)]) is first
    assert first.tolist() == [5.0, 5.0]
    assert second.tolist() == [1.0, 1.0]


def test_places_of_rows() -> None:
    """Where each row is among sorted others; the place of one that is not there means nothing."""
    rows, others = torch.tensor([0, 2, 3, 7, 9]), torch.tensor([2, 7, 8])
    place, known = places(rows, others)
    assert known.tolist() == [False, True, False, True, False]
    assert others[place[known]].tolist() == [2, 7]
    assert place.min() >= 0
    assert place.max() < 3


def test_aligned_with_entries() -> None:
    entries = torch.arange(12.0).view(3, 2, 2)
    found = aligned(torch.tensor([1.0, 0.0, 2.0]), entries) * entries
    assert torch.equal(found, torch.stack([entries[0], 0 * entries[1], 2 * entries[2]]))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_with_entries() -> None:
    sparse = torch.sparse_coo_tensor([[3, 1, 3]], torch.ones(3, 2), (5, 2)).coalesce()
    found = with_entries(sparse, torch.tensor([[5.0, 6.0], [7.0, 8.0]]))
    assert found.is_coalesced()
    assert found.to_dense().tolist() == [[0, 0], [5, 6], [0, 0], [7, 8], [0, 0]]
