"""What a training step minimises: the loss of a batch of triples against its negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gsam.distributed import ALONE, Ranks
from gsam.kg._pairing import Parts
from gsam.kg.batches import Batch, TripleBatches
from gsam.kg.filters import KnownTails
from gsam.kg.losses import VOID, LossOptions, n3
from gsam.kg.negatives import NEGATIVES, Negatives, NegativeSampler
from gsam.kg.regularizers import factors
from gsam.kg.scorers import scorer


@dataclass(frozen=True)
class Sampling:
    """How training triples are batched, and what they are scored against.

    Attributes:
        batch_size: triples in a step; the last step of an epoch takes what is left.
        negatives: ``"shared"`` by the batch, ``"per-triple"``, or ``"all"`` entities (1-vs-all).
        num_negatives: of each triple; ``"all"`` has no use for it.
        filter_negatives: whether candidates that make a *training* triple are taken out; if not, only the true tail is.
        own_head: whether the head of a triple is one more negative of its own query, unless it makes a *training*
            triple. Models whose relations begin near the identity score it high, and seldom draw it.
        seed: of the orders and the negatives.
    """

    batch_size: int = 1000
    negatives: str = "shared"
    num_negatives: int = 1000
    filter_negatives: bool = True
    own_head: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.negatives not in NEGATIVES:
            raise ValueError(f"expected negatives among {', '.join(NEGATIVES)}, found {self.negatives!r}")
        for name in ("batch_size", "num_negatives"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, found {getattr(self, name)}")

    def build(
        self, triples: Tensor, num_entities: int, num_relations: int, ranks: Ranks = ALONE
    ) -> tuple[TripleBatches, NegativeSampler]:
        """The batches and the sampler of negatives for triples ``[T, 3]``, reciprocal ones included."""
        known = KnownTails(triples, num_entities, num_relations)
        generator = torch.Generator(triples.device).manual_seed(self.seed)
        sampler = NEGATIVES[self.negatives](
            num_entities,
            self.num_negatives,
            known=known if self.filter_negatives else None,
            generator=generator,
            own_head=self.own_head,
        )
        return TripleBatches(triples, known, self.batch_size, generator=generator, ranks=ranks), sampler


class Objective:
    """The loss of a model on a batch.

    Args:
        model: any model that :func:`~gsam.kg.scorer` takes.
        loss: which loss, with its penalty.
        count: negatives of each triple.
    """

    def __init__(self, model: nn.Module, loss: LossOptions, *, count: int) -> None:
        self.model, self.scorer, self.options = model, scorer(model), loss
        self.loss = loss.function(count)
        self.num_entities = int(model.num_nodes)  # type: ignore[arg-type]

    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        """One loss a triple ``[B]``."""
        query = self.scorer.query(batch.head, batch.relation)
        positive, negative = self.scores(query, batch, negatives.entities)
        losses = self.loss(positive, negative, negatives.void, negatives.log_weight, self._own(query, batch, negatives))
        if self.options.n3:
            losses = losses + self.options.n3 * n3(factors(self.model, batch.head, batch.relation, batch.tail))
        return losses

    def _own(self, query: Parts, batch: Batch, negatives: Negatives) -> Tensor | None:
        """Scores ``[B]`` of the heads as tails of their own queries, void where they are no negatives."""
        if negatives.own is None:
            return None
        found = self.scorer.pointwise(query, self.scorer.candidates(batch.head))
        return torch.where(negatives.own, found, VOID)

    def scores(self, query: Parts, batch: Batch, entities: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scores of the true tails ``[B]`` and of the candidates ``[B, n]``."""
        count = len(batch)
        if entities is None:
            positive = self.scorer.pointwise(query, self.scorer.candidates(batch.tail))
            return positive, self.scorer.pairwise(query, self.scorer.candidates(None))
        if entities.dim() == 2:
            found = self.scorer.candidates(torch.cat([batch.tail[:, None], entities], 1))
            scores = self.scorer.pointwise(query, found)
            return scores[:, 0], scores[:, 1:]
        found = self.scorer.candidates(torch.cat([batch.tail, entities]))  # one lookup, one gradient
        true, others = tuple(part[:count] for part in found), tuple(part[count:] for part in found)
        return self.scorer.pointwise(query, true), self.scorer.pairwise(query, others)

    def touched(self, batch: Batch, negatives: Negatives) -> Tensor | None:
        """The entities that a step on a batch moves, in all processes, with repetition; ``None`` if they may be all.

        These are the entities of the batch if gradients are row-sparse; with dense ones, momentum moves every row.
        """
        entities = negatives.entities if negatives.joint is None else negatives.joint
        batch = batch if batch.joint is None else batch.joint
        if entities is None or not getattr(self.model, "sparse", False) or entities.numel() >= self.num_entities:
            return None
        return torch.cat([batch.head, batch.tail, entities.flatten()])
