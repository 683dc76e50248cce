"""Which entities a true tail is scored against, and which of them are no negatives after all.

A candidate is no negative of the query (h, r) if (h, r, candidate) is a *training* triple: validation and test triples
stay unknown to training. Nothing here waits for the device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gsam.kg.batches import Batch
from gsam.kg.filters import KnownTails


@dataclass(frozen=True)
class Negatives:
    """The negatives of a batch of B triples.

    Attributes:
        entities: their indices: ``[n]`` if the batch shares them, ``[B, n]`` if each triple has its own, ``None`` for
            all N entities in order.
        void: flat positions ``[P]`` in the score matrix ``[B, n]`` that must not count; repeated ones are allowed.
        log_weight: log of the number of entities that each negative stands for.
        own: whether the head of each triple counts as a negative of its own query ``[B]``; ``None`` if none does.
        joint: the entities of all processes, if they are not the same.
    """

    entities: Tensor | None
    void: Tensor
    log_weight: float
    own: Tensor | None = None
    joint: Tensor | None = None


class NegativeSampler(ABC):
    """Draws the negatives of one batch after the other.

    Args:
        num_entities: N.
        count: k, negatives of each triple.
        known: the training tails of every query; ``None`` leaves false negatives in, except for the true tail itself.
        generator: of the random numbers, on the device of the triples.
        own_head: make the head of a triple one more negative of its query, unless it is a known tail, or all entities
            are negatives anyway.
    """

    def __init__(
        self,
        num_entities: int,
        count: int,
        *,
        known: KnownTails | None = None,
        generator: torch.Generator,
        own_head: bool = False,
    ) -> None:
        if count < 1:
            raise ValueError(f"expected num_negatives >= 1, found {count}")
        self.num_entities, self.known, self.generator, self.own_head = num_entities, known, generator, own_head
        self.count = self._count(count)
        self._prepare()

    def _prepare(self) -> None:  # noqa: B027
        """What a kind of negatives keeps from one batch to the next."""

    def _count(self, count: int) -> int:
        return count

    def state(self) -> dict[str, Tensor]:
        """Where the sampler is, for :meth:`load_state`."""
        return {"generator": self.generator.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        self.generator.set_state(state["generator"])

    @property
    def log_weight(self) -> float:
        """Log of N / k."""
        return math.log(self.num_entities / self.count)

    @abstractmethod
    def draw(self, batch: Batch) -> Negatives:
        """The negatives of a batch."""

    def _own(self, batch: Batch) -> Tensor | None:
        if not self.own_head or self.count >= self.num_entities:  # among all entities it is already
            return None
        if self.known is None:
            return batch.head != batch.tail
        return ~self.known.contains(batch.query, batch.head.unsqueeze(1)).squeeze(1)

    def _known_pairs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Row of the batch and entity ``[P]`` of every pair that is no negative."""
        if self.known is None:
            return torch.arange(len(batch), device=batch.tail.device), batch.tail
        return self.known.pairs(batch.query, batch.num_known)


class SharedNegatives(NegativeSampler):
    """k entities shared by the batch, without repetition: all scores are one matrix product.

    Steps take successive stretches of a random permutation of the entities, redrawn when it is used up, so that each
    step has a uniformly random subset at the cost of k numbers, not N. A last void column takes the known pairs whose
    entity was not drawn, which saves picking out the others. More than N negatives are all N.
    """

    def _prepare(self) -> None:
        device = self.generator.device
        self._order = torch.empty(0, dtype=torch.long, device=device)
        self._column = torch.full((self.num_entities,), self.count, device=device)  # of each entity in the sample
        self._columns = torch.arange(self.count, device=device)

    def state(self) -> dict[str, Tensor]:
        """Where the sampler is, with what is left of the permutation."""
        return {**super().state(), "order": self._order.clone()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        super().load_state(state)
        self._order = state["order"].to(self._order.device)

    def _count(self, count: int) -> int:
        return min(count, self.num_entities)

    def draw(self, batch: Batch) -> Negatives:
        """Entities, a void column being the last: ``[k + 1]``."""
        if len(self._order) < self.count:
            self._order = torch.randperm(self.num_entities, generator=self.generator, device=self.generator.device)
        drawn, self._order = self._order[: self.count], self._order[self.count :]
        rows, entities = self._known_pairs(batch)
        self._column[drawn] = self._columns
        columns = self._column[entities]
        self._column[drawn] = self.count
        width = self.count + 1
        last = torch.arange(self.count, len(batch) * width, width, device=drawn.device)
        void = torch.cat([rows * width + columns, last])
        return Negatives(torch.cat([drawn, drawn[:1]]), void, self.log_weight, self._own(batch))


class OwnNegatives(NegativeSampler):
    """k entities for each triple, drawn with repetition, and a void column as :class:`SharedNegatives` has one."""

    def draw(self, batch: Batch) -> Negatives:
        """Entities, a void column being the last: ``[B, k + 1]``."""
        device, joint = self.generator.device, batch.joint
        size = (len(batch if joint is None else joint), self.count + 1)  # what other processes draw is drawn here, too
        every = torch.randint(self.num_entities, size, generator=self.generator, device=device)
        drawn = every[batch.start : batch.start + len(batch)]
        false = drawn == batch.tail[:, None] if self.known is None else self.known.contains(batch.query, drawn)
        positions = torch.arange(drawn.numel(), device=device).view(drawn.shape)
        void = torch.where(false, positions, positions[:, -1:])  # the last column: always
        return Negatives(
            drawn, void.flatten(), self.log_weight, self._own(batch), joint=None if joint is None else every
        )


class AllNegatives(NegativeSampler):
    """Every entity is a candidate (1-vs-all)."""

    def _count(self, count: int) -> int:
        return self.num_entities

    def draw(self, batch: Batch) -> Negatives:
        """No indices: all N entities."""
        rows, entities = self._known_pairs(batch)
        return Negatives(None, rows * self.num_entities + entities, 0.0)


#: ways to choose negatives, by name
NEGATIVES: dict[str, type[NegativeSampler]] = {
    "shared": SharedNegatives,
    "per-triple": OwnNegatives,
    "all": AllNegatives,
}
