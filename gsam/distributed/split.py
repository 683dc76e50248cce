"""Tables that are split over processes: each has a stretch of the rows, and fetches those of others that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from geoopt import ManifoldParameter
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gsam.distributed.ranks import Ranks
from gsam.manifolds import manifold_groups, record


@dataclass(frozen=True)
class _Route:
    """Who needs which rows of whom for one lookup.

    Attributes:
        place: where each index is among the rows that come, in the shape of the indices.
        coming: how many rows come from each process.
        asked: the own rows, counted from the first own one, that go to the processes, in the order of these.
        going: how many go to each.
    """

    place: Tensor
    coming: list[int]
    asked: Tensor
    going: list[int]


class RowSplit:
    """How the rows of tables are dealt out: each process has one stretch, and they differ by one row at most.

    Args:
        num_rows: N, of every table.
        ranks: the processes.

    Attributes:
        start: the first own row.
        stop: the last own row plus one.
        weight: of this process's samples in the joint batch: what its gradients are multiplied with before they go to
            the processes that have the rows; 1 outside of a pass.
        at_home: whether lookups are of own rows alone.

    Raises:
        ValueError: there are fewer rows than processes.
    """

    def __init__(self, num_rows: int, ranks: Ranks) -> None:
        if num_rows < ranks.size:
            raise ValueError(f"expected a row for each of the {ranks.size} processes, found {num_rows}")
        self.num_rows, self.ranks = num_rows, ranks
        self.start, self.stop = ranks.bounds(num_rows)
        self.weight, self.at_home = 1.0, False
        self._known: dict[int, tuple[Tensor, _Route]] | None = None
        self._starts = torch.tensor([num_rows * rank // ranks.size for rank in range(ranks.size)])

    @contextmanager
    def staying_home(self) -> Iterator[None]:
        """Look up own rows alone in this block, by their numbers in the whole table; no other process takes part."""
        before, self.at_home = self.at_home, True
        try:
            yield
        finally:
            self.at_home = before

    @contextmanager
    def one_pass(self, weight: float) -> Iterator[None]:
        """A forward and backward pass over this process's share of a batch.

        Lookups of several tables by the very same tensor of indices, which must not be written to, tell the other
        processes once what they need; so all processes must use the same tensor again at the same places.
        """
        self.weight, self._known = weight, {}
        try:
            yield
        finally:
            self.weight, self._known = 1.0, None

    def own(self, index: Tensor) -> Tensor:
        """Those of the rows that this process has, counted from its first one."""
        return index[(index >= self.start) & (index < self.stop)] - self.start

    def route(self, index: Tensor) -> _Route:
        """Tell the processes which rows this one needs; every process calls it, each with its own indices."""
        if self._known is None:
            return self._agree(index)
        if id(index) not in self._known:
            self._known[id(index)] = index, self._agree(index)
        return self._known[id(index)][1]

    def _agree(self, index: Tensor) -> _Route:
        wanted, place = index.long().unique(return_inverse=True)
        if len(wanted) and not 0 <= int(wanted[0]) <= int(wanted[-1]) < self.num_rows:
            raise IndexError(
                f"expected rows from 0 to {self.num_rows - 1}, found {int(wanted[0])} to {int(wanted[-1])}"
            )
        ends = torch.searchsorted(wanted, self._starts.to(index.device))
        coming = ends.diff(append=ends.new_tensor([len(wanted)]))
        each = [1] * self.ranks.size
        counts = torch.stack([coming, self.ranks.exchange(coming, each, each)]).tolist()
        return _Route(place, counts[0], self.ranks.exchange(wanted, *counts) - self.start, counts[1])


class _Fetched(torch.autograd.Function):
    """Rows go where they are needed, and gradients, weighted, back to where the rows are."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, split: RowSplit, route: _Route) -> Tensor:
        ctx.split, ctx.route = split, route
        return split.ranks.exchange(rows, route.going, route.coming)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weighted = grad * ctx.split.weight
        return ctx.split.ranks.exchange(weighted, ctx.route.coming, ctx.route.going), None, None


class SplitEmbedding(nn.Embedding):
    """The own rows of a table; a lookup by numbers in the whole table fetches those of other processes.

    Every lookup is made by all processes, in the same order, each with indices of its own. So is every backward pass:
    it leaves in ``weight.grad``, row-sparse, the gradients of the own rows from *all* processes, each multiplied with
    :attr:`RowSplit.weight` there. A row that a process needs several times travels once.

    Args:
        table: the whole table, on the same manifold if its rows are points; it is not needed afterwards.
        split: how its rows are dealt out; tables of one model share it.

    Raises:
        ValueError: the table has dense gradients, another number of rows, or ``max_norm`` or ``padding_idx``.
        IndexError: in a lookup, there is no such row.
    """

    def __init__(self, table: nn.Embedding, split: RowSplit) -> None:
        if not table.sparse:
            raise ValueError("expected a table with row-sparse gradients (sparse=True), found one with dense ones")
        if table.max_norm is not None or table.padding_idx is not None:
            raise ValueError("expected a table without max_norm and padding_idx, found one that has them")
        if table.num_embeddings != split.num_rows:
            raise ValueError(f"expected a table of {split.num_rows} rows, found {table.num_embeddings}")
        rows = table.weight.detach()[split.start : split.stop].as_subclass(Tensor).clone()
        super().__init__(len(rows), rows.shape[1], sparse=True, _weight=rows)
        self.split = split
        manifold = manifold_groups(table)[0]["manifold"]
        if manifold is not None:
            self.weight = ManifoldParameter(rows, manifold=manifold)
            record(self, "weight", manifold)

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows [..., d] of indices [...] in the whole table."""
        if self.split.at_home:
            return F.embedding(index - self.split.start, self.weight, sparse=True)
        route = self.split.route(index)
        rows = F.embedding(route.asked, self.weight, sparse=True)
        return F.embedding(route.place, _Fetched.apply(rows, self.split, route))


def split_tables(module: nn.Module) -> dict[str, SplitEmbedding]:
    """The tables of a model that are split over processes, by name."""
    return {name: found for name, found in module.named_modules() if isinstance(found, SplitEmbedding)}


def row_split(module: nn.Module) -> RowSplit | None:
    """How the tables of a model are split; ``None`` if they are whole."""
    return next((table.split for table in split_tables(module).values()), None)


def whole_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The ``state_dict`` that the model would have with whole tables, on the CPU, in the first process; else ``{}``.

    Every process calls it. The first one needs memory for the whole tables.
    """
    split, tables = row_split(module), split_tables(module)
    found: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if split is not None and name.removesuffix(".weight") in tables:
            value = split.ranks.collect(value.as_subclass(Tensor))
        if split is None or split.ranks.first:
            found[name] = value.cpu()
    return found
