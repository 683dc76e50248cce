"""Lists of tensors as one long vector: the little algebra the optimizers need, without a Python loop per entry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gsam.manifolds.precision import HALF


def values(tensor: Tensor) -> Tensor:
    """The stored entries of a gradient: the tensor itself, or the coalesced values of a sparse one."""
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of each of n tensors: float64, shape ``(n,)``, on the first tensor's device.

    They are taken in at least float32, so half-precision gradients neither overflow nor lose digits.
    """
    if not tensors:
        return torch.zeros(0, dtype=torch.float64)
    low = [tensor.dtype in HALF for tensor in tensors]
    if all(low) or not any(low):
        found = list(torch._foreach_norm(list(tensors), 2, dtype=torch.float32 if low[0] else None))
    else:
        found = [torch.linalg.vector_norm(t.float() if half else t) for t, half in zip(tensors, low, strict=True)]
    return _stacked(found)


def squares(tensors: Sequence[Tensor]) -> Tensor:
    """Squared Euclidean norm of each of n dense or row-sparse tensors: float64, shape ``(n,)``."""
    return norms([values(tensor) for tensor in tensors]).square()


def squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Squared Euclidean norm of all entries together, a float64 scalar on the first tensor's device."""
    return norms(tensors).square().sum()


def least_square(tensors: Sequence[Tensor]) -> float:
    """The squared norm below which a vector counts as zero: entries squared underflow, and some norms lose them."""
    kinds = {torch.float32 if tensor.dtype in HALF else tensor.dtype for tensor in tensors}
    return max((torch.finfo(kind).tiny for kind in kinds), default=0.0)


def weighted_sum_(terms: Sequence[tuple[Tensor, float]]) -> Tensor | None:
    """The sum of ``factor * tensor`` over any mix of dense and row-sparse tensors, made in the first dense one.

    Terms of factor 0 do not count, not even if they are infinite; ``None`` if no term is left.
    """
    left = [(tensor, factor) for tensor, factor in terms if factor != 0.0]
    if not left:
        return None
    start = next((i for i, (tensor, _) in enumerate(left) if not tensor.is_sparse), 0)
    total, factor = left.pop(start)
    if factor != 1.0:
        total = scaled(total, factor) if total.is_sparse else total.mul_(factor)
    for tensor, weight in left:
        total = plus_(total, tensor, weight)
    return total


def plus_(left: Tensor, right: Tensor, factor: float) -> Tensor:
    """``left + factor * right``, in place if ``left`` is dense; row-sparse if both are."""
    if not left.is_sparse:
        return left.add_(right, alpha=factor)
    if not right.is_sparse:
        return torch.mul(right, factor).add_(left)
    left, right = left.coalesce(), right.coalesce()
    if not torch.equal(left.indices(), right.indices()):
        return torch.add(left, right, alpha=factor)
    summed = torch.add(left.values(), right.values(), alpha=factor)  # two passes over one batch touch the same rows
    return with_entries(left, summed)


def scaled(tensor: Tensor, factor: float) -> Tensor:
    """``factor * tensor``, dense or row-sparse as ``tensor`` is."""
    if not tensor.is_sparse:
        return tensor * factor
    return with_entries(tensor.coalesce(), tensor.coalesce().values() * factor)


def with_entries(sparse: Tensor, entries: Tensor) -> Tensor:
    """A coalesced row-sparse tensor with the rows of another, and ``entries`` of the same shape as its values."""
    return torch.sparse_coo_tensor(sparse.indices(), entries, sparse.shape, is_coalesced=True, check_invariants=False)


def dots(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner products of n aligned pairs of dense or row-sparse tensors: float64 ``(n,)``, on the first one's device."""
    if not left:
        return torch.zeros(0, dtype=torch.float64)
    pairs = [_common(a, b) for a, b in zip(left, right, strict=True)]
    return _stacked([torch.dot(_flat(a), _flat(b)) for a, b in pairs])


def _stacked(scalars: list[Tensor]) -> Tensor:
    if len({(scalar.dtype, scalar.device) for scalar in scalars}) == 1:
        return torch.stack(scalars).double()
    return torch.stack([scalar.to(scalars[0].device, torch.float64) for scalar in scalars])


def _common(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Dense tensors with the same inner product: the entries of the rows that both have."""
    if not left.is_sparse and not right.is_sparse:
        return left, right
    if not left.is_sparse or (right.is_sparse and right._nnz() < left._nnz()):
        left, right = right, left
    left = left.coalesce()
    rows, entries = left.indices()[0], left.values()
    if not right.is_sparse:
        return entries, right[rows]
    right = right.coalesce()
    others = right.indices()[0]
    if not others.numel():
        return entries[:0], entries[:0]
    place, shared = places(rows, others)
    return entries * aligned(shared, entries).to(entries.dtype), right.values()[place]


def places(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Where each of ``rows`` is in ``others``, sorted and not empty, and whether it is there at all; no host sync."""
    place = torch.searchsorted(others, rows).clamp_(max=others.numel() - 1)
    return place, others[place] == rows


def aligned(row_values: Tensor, entries: Tensor) -> Tensor:
    """One value for each row, shape ``(n,)``, viewed so that it broadcasts with entries of shape ``(n, ...)``."""
    return row_values.view(-1, *[1] * (entries.dim() - 1))


def _flat(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    return flat.float() if flat.dtype in HALF else flat


def host(*scalars: Tensor) -> list[float]:
    """Read several scalars with a single synchronisation."""
    device = scalars[0].device
    found: list[float] = torch.stack([scalar.to(device) for scalar in scalars]).tolist()
    return found


def norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm of all entries together, on the host; NaN or infinite if an entry is."""
    return math.sqrt(host(squared_norm(tensors))[0])


def unit_rejection(
    tensors: Sequence[Tensor],
    axis: Sequence[Tensor],
    *,
    together: bool = True,
    copy: Callable[[Sequence[Tensor]], list[Tensor]] | None = None,
) -> list[Tensor] | None:
    r"""The direction of the part of a vector :math:`v` that is orthogonal to ``axis`` :math:`h`.

    .. math::
        r = v - \tfrac{\langle v, h\rangle}{\|h\|^2} h, \qquad r / \|r\|

    A part no longer than the rounding error of :math:`v` (``eps ** 0.75`` of its length) has no direction: zero is
    returned, not amplified noise. Where ``axis`` is zero, :math:`r = v`. Either counts as zero below
    :func:`least_square`.

    Args:
        tensors: the entries of the vector.
        axis: those of the axis, aligned with ``tensors``.
        together: whether all tensors form one vector, or each one of its own.
        copy: makes the copies that become the result; default: new memory.

    Returns:
        Tensors aligned with ``tensors``, or ``None`` if an entry of either argument is not finite.
    """
    if not tensors:
        return []
    totals = _totals([dots(tensors, axis), squares(axis), squares(tensors)], together)
    if not all(map(math.isfinite, itertools.chain.from_iterable(totals))):
        return None
    inner, axis_square, square = totals
    least = least_square([*tensors, *axis])
    shares = [-i / a if a > least else 0.0 for i, a in zip(inner, axis_square, strict=True)]
    parts = [tensor.clone() for tensor in tensors] if copy is None else copy(tensors)
    parts = [plus_(part, h, share) for part, h, share in zip(parts, axis, shares, strict=True)]
    (left,) = _totals([squares(parts)], together)
    noise = max(torch.finfo(tensor.dtype).eps for tensor in tensors) ** 1.5
    bounds = [max(noise * whole, least) for whole in square]
    scales = [0.0 if rest <= bound else rest**-0.5 for rest, bound in zip(left, bounds, strict=True)]
    for part, scale in zip(parts, scales, strict=True):
        part.mul_(scale)
    return parts


def _totals(rows: list[Tensor], together: bool) -> list[list[float]]:
    """Read rows of n numbers with one synchronisation; each number replaced by its row's sum if ``together``."""
    found: list[list[float]] = torch.stack(rows).tolist()
    return [[sum(row)] * len(row) for row in found] if together else found
