"""Norms over parameters of which this process has some rows and other processes the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from gsam.optim.vectors import squared_norm


class Shards:
    """Which parameters are shards, rows of a table that several processes hold between them.

    A norm over all parameters has the squares of a shard from every process, and those of any other parameter once.

    Args:
        params: the shards; by default there are none, and nothing is sent anywhere.
        total: adds a tensor up over the processes, in place, and returns it. All of them call it in the same order.

    Raises:
        ValueError: there are shards, and nothing that adds up.
    """

    def __init__(self, params: Iterable[Tensor] = (), total: Callable[[Tensor], Tensor] | None = None) -> None:
        self._params, self._total = dict.fromkeys(params), total
        if self._params and total is None:
            raise ValueError("expected a function that adds up over the processes, found shards without one")

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._params)

    def __contains__(self, param: Tensor) -> bool:
        return param in self._params

    def holds(self, params: Iterable[Tensor]) -> bool:
        """Whether these parameters of one group are shards.

        Raises:
            ValueError: some of them are, and others are not.
        """
        found = {param in self for param in params}
        if len(found) > 1:
            raise ValueError(
                "expected parameter groups of shards alone or without any, found both in one; "
                "gsam.kg.parameter_groups makes such groups"
            )
        return found == {True}

    def joined(self, squares: Sequence[Tensor], split: Sequence[bool]) -> list[Tensor]:
        """Squared norms, scalars, with those that are marked as a shard's added up over the processes."""
        marked = [square for square, of_shard in zip(squares, split, strict=True) if of_shard]
        if not marked:
            return list(squares)
        found = iter(self._sum(torch.stack([square.to(marked[0].device, torch.float64) for square in marked])))
        return [next(found) if of_shard else square for square, of_shard in zip(squares, split, strict=True)]

    def squared_norm(self, entries: Mapping[Tensor, Tensor]) -> Tensor:
        """Squared Euclidean norm of the entries that belong to parameters, a float64 scalar on their device."""
        whole = squared_norm([found for param, found in entries.items() if param not in self])
        if not self:
            return whole
        own = squared_norm([found for param, found in entries.items() if param in self])
        own = self._sum(own.to(next(iter(self._params)).device))
        return own + whole.to(own.device)

    def _sum(self, squares: Tensor) -> Tensor:
        assert self._total is not None
        return self._total(squares)


#: no parameter is a shard
WHOLE = Shards()
