"""A few of the in-edges of each node, drawn so that weighted sums over them are right on average."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsam.graphs._csr import CSR


class Draw(NamedTuple):
    """How to draw.

    Attributes:
        limit: entries of a row, at least 1.
        rng: what is drawn from; on the CPU, so that all devices see the same.
    """

    limit: int
    rng: np.random.Generator


class SampledPlaces(NamedTuple):
    """Where the entries that were drawn are.

    Attributes:
        rowptr: ``[B + 1]``, where each row starts.
        place: ``[e]``, place of each entry in the whole matrix; in each row increasing.
        factor: ``[e]`` float64, what to multiply its value by.
    """

    rowptr: Tensor
    place: Tensor
    factor: Tensor


def sample_places(graph: CSR, index: Tensor, draw: Draw, *, last_stays: bool) -> SampledPlaces:
    r"""Draw ``limit`` of the ``n`` entries of each row, without replacement, where ``n > limit``; else take all.

    Each of the entries that were drawn counts :math:`n / \mathrm{limit}` times. An entry is drawn with probability
    :math:`\mathrm{limit} / n`, so the expectation of any weighted sum over a row is the sum over the whole row (Horvitz
    and Thompson, 1952). Time and memory depend on the entries drawn, not on those there are.

    Args:
        graph: the matrix.
        index: ``[B]`` rows.
        draw: how.
        last_stays: the last entry of each row, its self-loop, is taken in any case and is not among the ``n``.
    """
    limit = draw.limit
    start, stop = (graph.rowptr[ends].cpu().numpy() for ends in (index, index + 1))
    others = stop - start - last_stays
    sizes = np.minimum(others, limit) + last_stays
    rowptr = np.zeros(sizes.size + 1, dtype=start.dtype)
    np.cumsum(sizes, out=rowptr[1:])
    place = np.arange(rowptr[-1], dtype=start.dtype) + np.repeat(start - rowptr[:-1], sizes)
    factor = np.ones(place.size)
    crowded = np.flatnonzero(others > limit)
    if crowded.size:
        drawn = distinct_numbers(others[crowded], limit, draw.rng)
        at = rowptr[crowded, None] + np.arange(limit)
        place[at] = start[crowded, None] + drawn
        factor[at] = others[crowded, None] / limit
        if last_stays:
            place[rowptr[crowded + 1] - 1] = stop[crowded] - 1
    parts = (torch.from_numpy(part).to(graph.col.device) for part in (rowptr, place, factor))
    return SampledPlaces(*parts)


def distinct_numbers(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """In row i ``count`` distinct numbers in ``[0, sizes[i])``, each set equally likely: ``[rows, count]``, increasing.

    Floyd's algorithm (Bentley, *Programming Pearls*, CACM 30(9), 1987) on all rows at once; ``count <= min(sizes)``.
    """
    chosen = np.empty((sizes.size, count), dtype=np.int64)
    for number in range(count):
        highest = sizes - count + number
        drawn = rng.integers(highest + 1)
        taken = (chosen[:, :number] == drawn[:, None]).any(axis=1)
        chosen[:, number] = np.where(taken, highest, drawn)
    chosen.sort(axis=1)
    return chosen
