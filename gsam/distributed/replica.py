"""A copy of a model in each process: gradients are averaged when a closure has run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gsam.distributed.ranks import Ranks
from gsam.distributed.split import row_split, split_tables
from gsam.optim import SharpnessAware
from gsam.optim.shards import WHOLE, Shards

_NONE, _SPARSE, _DENSE = 0, 1, 2  # what kind of gradient a parameter has; where they differ, the largest


class Replica(nn.Module):
    r"""Averages the gradients of a model over the processes that have a copy of it.

    After a closure of the joint batch of :math:`B` samples, of which process :math:`r` has :math:`B_r`,

    .. math:: g = \sum_r \frac{B_r}{B}\, \nabla L_r(w)

    is in ``p.grad`` of every process, bit for bit the same, and the loss it returns is that of the joint batch.

    ``DistributedDataParallel`` does this while ``backward`` runs, for a model that is called through its ``forward``
    and has the same parameters in use in every process. Here the loss may come from any method of the model, a
    parameter may be without a gradient in some processes or in all (as in the passes of a peer), and of a row-sparse
    gradient only the touched rows are sent. Tables that are split (:class:`SplitEmbedding`) have their gradients from
    all processes by themselves.

    Args:
        module: the model; the same weights in every process, but for the tables that are split.
        ranks: the processes.
        optimizer: of the model's parameters. With ``ranks.ascent == "local"`` it must be sharpness-aware, and climbs
            along the gradient of its own process from now on.

    Attributes:
        shards: the parameters of which other processes have the rest.

    Raises:
        ValueError: a local ascent is wanted of an optimizer that has none, or that descends with its gradient; or there
            are split tables, and the ascent is local, or the optimizer was made before they were split, or cannot have
            them.
    """

    def __init__(self, module: nn.Module, ranks: Ranks, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.module, self.ranks = module, ranks
        self._averages = True
        self._split = row_split(module)
        self.shards = self._shards(optimizer)
        if ranks.size > 1 and ranks.ascent == "local":
            if not isinstance(optimizer, SharpnessAware):
                raise ValueError(
                    f"expected a sharpness-aware optimizer for ascent 'local', found {type(optimizer).__name__}, "
                    "which does not climb; use ascent 'global'"
                )
            optimizer.set_ascent("local", self)

    def _shards(self, optimizer: torch.optim.Optimizer) -> Shards:
        if self._split is None:
            return WHOLE
        if self._split.ranks.size != self.ranks.size:
            raise ValueError(
                f"expected the {self._split.ranks.size} processes that the tables are split over, found "
                f"{self.ranks.size}; pass the same ranks"
            )
        if self.ranks.ascent == "local":
            raise ValueError("expected ascent='global' with tables that are split over processes, found 'local'")
        known = {param for group in optimizer.param_groups for param in group["params"]}
        tables = split_tables(self.module)
        for name, table in tables.items():
            if table.weight not in known:
                raise ValueError(
                    f"expected an optimizer of the split tables, found one without {name}; split them first"
                )
        shards = Shards([table.weight for table in tables.values()], self.ranks.sum)
        if isinstance(optimizer, SharpnessAware):
            optimizer.set_shards(shards)
        return shards

    def closure(self, closure: Callable[[], Tensor], weight: float) -> Callable[[], Tensor]:
        """The closure with averaged gradients.

        Args:
            closure: clears the gradients, computes the mean loss of this process's samples, calls ``backward`` and
                returns the loss.
            weight: share of this process's samples in the joint batch; they add up to 1.

        Returns:
            A closure that returns the joint loss; in a pass that is not averaged, the own loss times ``size * weight``,
            so that the mean over the processes is the joint one.
        """
        if self.ranks.size == 1:
            return closure

        def averaged() -> Tensor:
            with nullcontext() if self._split is None else self._split.one_pass(weight):
                loss = closure()
            return self._reduce(loss, weight) if self._averages else loss * (weight * self.ranks.size)

        return averaged

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Leave the gradients as they are in this block, as ``DistributedDataParallel.no_sync`` does."""
        before, self._averages = self._averages, False
        try:
            yield
        finally:
            self._averages = before

    @torch.no_grad()
    def _reduce(self, loss: Tensor, weight: float) -> Tensor:
        parameters = [p for p in self.module.parameters() if p.requires_grad and p not in self.shards]
        dense, sparse = self._kinds(parameters)
        total = self._average_dense(dense, loss, weight)
        for parameter in sparse:
            self._average_rows(parameter, weight)
        return total

    def _kinds(self, parameters: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters that have a dense, or a row-sparse, gradient in some process."""
        own = [_NONE if p.grad is None else _SPARSE if p.grad.is_sparse else _DENSE for p in parameters]
        flags = torch.tensor(own, device=parameters[0].device)
        kinds = list(zip(parameters, self.ranks.largest(flags).tolist(), strict=True))
        return [p for p, kind in kinds if kind == _DENSE], [p for p, kind in kinds if kind == _SPARSE]

    def _average_dense(self, parameters: Sequence[Tensor], loss: Tensor, weight: float) -> Tensor:
        """One exchange for all dense gradients and the loss; returns the joint loss."""
        for dtype in {p.dtype for p in parameters} - {loss.dtype}:
            self._exchange([p for p in parameters if p.dtype == dtype], [], weight)
        flat = self._exchange([p for p in parameters if p.dtype == loss.dtype], [loss.reshape(1)], weight)
        return flat[-1].clone()  # who keeps losses must not keep all gradients

    def _exchange(self, parameters: Sequence[Tensor], others: list[Tensor], weight: float) -> Tensor:
        """Average gradients of one dtype, and what stands behind them in the vector that is sent, and returned."""
        flat = torch.cat([*(_dense(p).reshape(-1) for p in parameters), *others]).mul_(weight)
        self.ranks.sum(flat)
        sizes = [p.numel() for p in parameters]
        for parameter, part in zip(parameters, flat.split([*sizes, len(flat) - sum(sizes)])[:-1], strict=True):
            parameter.grad = part.view(parameter.shape)
        return flat

    def _average_rows(self, parameter: Tensor, weight: float) -> None:
        """Only the touched rows travel."""
        grad: Any = parameter.grad
        if grad is None:
            index = torch.empty(0, dtype=torch.long, device=parameter.device)
            rows = parameter.new_empty(0, *parameter.shape[1:])
        else:
            grad = grad.coalesce()
            index, rows = grad.indices()[0], grad.values() * weight
        found = self.ranks.rows(index), self.ranks.rows(rows)
        parameter.grad = torch.sparse_coo_tensor(
            found[0].unsqueeze(0), found[1], parameter.shape, check_invariants=False
        ).coalesce()


def _dense(parameter: Tensor) -> Tensor:
    """Its gradient; nothing is 0."""
    grad = parameter.grad
    if grad is None:
        return torch.zeros(parameter.shape, dtype=parameter.dtype, device=parameter.device)
    return grad.to_dense() if grad.is_sparse else grad


@torch.no_grad()
def average_statistics(model: nn.Module, ranks: Ranks) -> None:
    """Average the buffers, such as running statistics of batch norm, which every process has of its own samples."""
    for buffer in model.buffers():
        if ranks.size > 1 and buffer.is_floating_point():
            buffer.copy_(ranks.mean(buffer))
