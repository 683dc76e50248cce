"""A small training, with batch norm and dropout, as a plain loop; the engines must do the same to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader, TensorDataset

from gsam.optim import SAM

EPOCHS, BATCHES = 2, 4
STEPS = EPOCHS * BATCHES


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 3))


def loader() -> DataLoader:
    """Batches of 6, in order. Its own generator, as making an iterator draws a number."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6 * BATCHES, 4, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()), batch_size=6, generator=generator)


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    """Mean over the batch, in the precision of the model."""
    return nn.functional.cross_entropy(model(batch[0].to(next(model.parameters()).dtype)), batch[1])


def optimizer(model: nn.Module, kind: Callable[..., Any] = SAM, **options: Any) -> tuple[Any, ExponentialLR]:
    """A SAM optimizer over AdamW, and a schedule."""
    opt = kind(model.parameters(), torch.optim.AdamW, lr=0.05, rho=0.3, **options)
    return opt, ExponentialLR(opt, 0.9)


@dataclass
class Trained:
    """A training: its parts, and the losses that its closure found."""

    model: nn.Module = field(default_factory=network)
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def state(self) -> list[Tensor]:
        """Weights and running statistics."""
        return list(self.model.state_dict().values())


Step = Callable[[Any, nn.Module, Any, "Trained"], None]


def by_closure(opt: Any, model: nn.Module, batch: Any, run: Trained) -> None:
    def closure() -> Tensor:
        opt.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        run.losses.append(loss.item())
        return loss

    opt.step(closure)


def plain(step: Step = by_closure, batches: Iterable[Any] | None = None, **options: Any) -> Trained:
    """The training as torch alone runs it."""
    run = Trained()
    opt, schedule = optimizer(run.model, **options)
    every = list(loader()) if batches is None else list(batches)
    for number, batch in enumerate(every * EPOCHS):
        torch.manual_seed(number)
        step(opt, run.model, batch, run)
        run.rates.append(opt.param_groups[0]["lr"])
        schedule.step()
    return run
