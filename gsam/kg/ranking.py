"""Filtered ranking: how many candidates score above the true entity of each query, over all entities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gsam.distributed import ALONE, Ranks, row_split
from gsam.evaluation import NonFiniteError, evaluating
from gsam.kg.filters import KnownTails
from gsam.kg.ranks import Ranking
from gsam.kg.score_blocks import ByQuery, ByRelation, Pool, rows_per_block
from gsam.kg.scorers import HeadScorer, Scorer, scorer
from gsam.kg.triples import reciprocals, with_reciprocals

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph

_EXACT_IN_FLOAT32 = 2**24  # counts up to here


class NonFiniteScoreError(NonFiniteError, ValueError):
    """A score is NaN or infinite, so no rank can be made of it."""


@dataclass(frozen=True)
class RankingProtocol:
    """What counts as a candidate, and how ties count.

    Attributes:
        pessimistic: a tie counts as the worst position; else as the mean of the best and the worst one.
        drops_known_entity: the entity that the query gives is no candidate for the one it asks for.
    """

    pessimistic: bool
    drops_known_entity: bool


PROTOCOLS = {"standard": RankingProtocol(False, False), "hybonet": RankingProtocol(True, True)}


@torch.no_grad()
def rank(
    model: nn.Module,
    graph: KnowledgeGraph,
    split: str = "test",
    *,
    protocol: str = "standard",
    known: KnownTails | None = None,
    block: int | None = None,
    ranks: Ranks = ALONE,
) -> Ranking:
    """Rank the true tail and the true head of each triple of a split among all entities.

    Candidates that make a known triple, of training, validation or test, are left out (*filtered*). Ranks start at 1.
    The true entity's score is read from the same matrix product as the candidates', so that equal is equal.

    ``protocol="standard"`` lets every other entity compete, and a tie counts as the mean of the best and the worst
    position. ``"hybonet"`` does as the code published with HyboNet, for comparison with its figures: the entity that
    the query gives (the head, or the tail where the head is asked for) is no candidate, and a tie counts as the worst
    position. MuRP's code has the same candidates, and leaves ties to the sorting. In a triple whose head is its tail
    the given entity is the answer and stays, there as here. Models tend to score the given entity high, so dropping it
    flatters them: figures of the two protocols are not comparable.

    A model of ``2 R`` relation types is asked for the head as for the tail of ``(t, r + R, ?)``. Queries of relations
    that it has ``turned`` (:class:`gsam.kg.HyboNet`) are ranked by the scores of the reciprocal triples. One of R
    relation types is asked for the head itself: TransE, DistMult, ComplEx and RotatE by closed forms, others by
    scoring all heads of a relation at once.

    Args:
        model: what :func:`~gsam.kg.scorer` takes, on any device; in evaluation mode meanwhile.
        graph: N entities and R relations, as many as the model's.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        protocol: ``"standard"`` or ``"hybonet"``.
        known: triples and reciprocals to leave out, in place of those of all splits; with none in it, ranks are raw.
        block: queries to score at a time; by default as many as keep a block of scores in the cache.
        ranks: the processes that have the same model and share the triples; all of them get the whole ranking. Where
            tables are split they share the candidates instead: each scores the entities that it has.

    Raises:
        NonFiniteScoreError: a score is NaN or infinite.
        ValueError: the split is empty, the model has another number of entities or relation types, or the protocol is
            unknown.
    """
    rule = _protocol(protocol)
    _check_sizes(model, graph)
    if block is not None and block < 1:
        raise ValueError(f"expected block >= 1, found {block}")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    triples = _triples(graph, split).to(device)
    known = known_triples(graph, device) if known is None else known.to(device)
    pool = Pool(graph.num_entities, row_split(model))
    with evaluating(model):
        ranker = _Ranker(scorer(model), known, rule, pool, block or rows_per_block(pool.largest, device))
        ask = ranker.separately if model.num_relations == graph.num_relations else ranker.by_reciprocals
        asked = triples if pool.split is not None else ranks.share(triples)
        counts = ask(asked, graph.num_relations)
    if pool.split is not None:
        above, not_below, bad = pool.split.ranks.sum(counts).cpu()
    else:
        above, not_below, bad = _joined(ranks.gather(counts.cpu()))
    if refused := int(bad.count_nonzero()):
        raise NonFiniteScoreError(
            f"expected finite scores, found NaN or infinity in {refused} of the {len(bad)} queries of the {split} "
            f"split of {graph.name}; the model has diverged: train with a lower learning rate"
        )
    return Ranking(triples.cpu(), _by_side(1 + above), _by_side(not_below), rule.pessimistic)


@dataclass(frozen=True)
class _Ranker:
    """Counts the candidates of a pool.

    Its results are int64 [3, Q]: how many score above the true entity, how many not below it, itself among them, and
    whether a score is not finite.
    """

    scorer: Scorer
    known: KnownTails
    rule: RankingProtocol
    pool: Pool
    rows: int

    def by_reciprocals(self, triples: Tensor, num_relations: int) -> Tensor:
        """Tails, then heads [3, 2T], all asked for as tails."""
        queries, order = _sorted(with_reciprocals(triples, num_relations))
        turned = getattr(self.scorer, "turned", None)
        if turned is None:
            return _unsorted(self._as_asked(queries), order)
        away = turned[queries[:, 1]]
        found = [self._as_asked(queries[~away]), self._by_other_direction(queries[away], num_relations)]
        return _unsorted(torch.cat(found, 1), torch.cat([order[~away], order[away]]))

    def _as_asked(self, queries: Tensor) -> Tensor:
        entity, relation, _ = queries.unbind(1)
        scores = ByQuery(self.scorer, self.scorer.query, entity, relation, self.pool, self.rows)
        return self._positions(scores, queries)

    def _by_other_direction(self, queries: Tensor, num_relations: int) -> Tensor:
        """By the scores of the reciprocal triples: the candidates are the heads, the given entity is the tail."""
        entity, relation, _ = queries.unbind(1)
        other = (relation + num_relations) % (2 * num_relations)
        scores = ByRelation(self.scorer, entity, other, self.pool, self.rows)
        return self._positions(scores, queries)

    def separately(self, triples: Tensor, num_relations: int) -> Tensor:
        """Tails, then heads [3, 2T], by a model without reciprocal relations."""
        asked, order = _sorted(triples)
        head, relation, tail = asked.unbind(1)
        size = (self.pool, self.rows)
        tails = ByQuery(self.scorer, self.scorer.query, head, relation, *size)
        heads: ByQuery | ByRelation = ByRelation(self.scorer, tail, relation, *size)
        if isinstance(self.scorer, HeadScorer):
            heads = ByQuery(self.scorer, self.scorer.head_query, tail, relation, *size)
        found = [self._positions(tails, asked), self._positions(heads, reciprocals(asked, num_relations))]
        return torch.cat([_unsorted(positions, order) for positions in found], 1)

    def _positions(self, scores: ByQuery | ByRelation, queries: Tensor) -> Tensor:
        """Results for queries [Q, 3] whose scores come block by block."""
        number = self.known.number(queries[:, 0], queries[:, 1])
        bounds = scores.bounds()
        if not bounds:
            return torch.zeros(3, 0, dtype=torch.long, device=number.device)
        stops = torch.tensor([stop for _, stop in bounds], device=number.device)
        ends = self.known.counts[number].cumsum(0)[stops - 1]
        totals = ends.diff(prepend=ends.new_zeros(1)).tolist()  # no wait for the device from here on
        found = []
        for (start, stop), total, block in zip(bounds, totals, scores, strict=True):
            rows, columns = self.known.pairs(number[start:stop], total)
            dropped = rows * block.shape[1] + self.pool.columns(columns)
            # rows side by side in memory, and memory of its own where a model repeats one number
            found.append(self._count(block.contiguous(), queries[start:stop], dropped))
        return torch.cat(found, 1)

    def _count(self, scores: Tensor, queries: Tensor, dropped: Tensor) -> Tensor:
        """Results [3, b] for scores [b, N'], which are overwritten, without the flat positions ``dropped``."""
        given, _, true = queries.unbind(1)
        bad = ~(scores.amin(1).isfinite() & scores.amax(1).isfinite())
        column = self.pool.columns(true)[:, None]
        target = self.pool.joint(scores.gather(1, column), column)
        # every comparison with NaN is false: what is no candidate counts on neither side
        scores.view(-1).index_fill_(0, dropped, torch.nan)
        if self.rule.drops_known_entity:
            scores.scatter_(1, self.pool.columns(given)[:, None], torch.nan)
        scores.scatter_(1, column, target)
        scores[:, len(self.pool) :] = torch.nan
        # sums of float marks are vectorised, those of truth values are not: ten times as fast
        marks = torch.empty_like(scores, dtype=torch.float32 if scores.shape[1] <= _EXACT_IN_FLOAT32 else torch.float64)
        above = torch.gt(scores, target, out=marks).sum(1)
        not_below = torch.ge(scores, target, out=marks).sum(1)
        return torch.stack([above.long(), not_below.long(), bad.long()])


def _triples(graph: KnowledgeGraph, split: str) -> Tensor:
    triples = graph.split(split)
    if not len(triples):
        raise ValueError(f"expected triples in the {split} split of {graph.name}, found none")
    return triples


def known_triples(graph: KnowledgeGraph, device: torch.device | str = "cpu") -> KnownTails:
    """The triples of all splits and their reciprocals: what :func:`rank` leaves out, for several calls of it."""
    every = with_reciprocals(graph.all_triples().to(device), graph.num_relations)
    return KnownTails(every, graph.num_entities, 2 * graph.num_relations)


def _by_side(positions: Tensor) -> dict[str, Tensor]:
    """Those of the tails come first."""
    tail, head = positions.chunk(2)
    return {"head": head, "tail": tail}


def _joined(parts: list[Tensor]) -> Tensor:
    """Results of shares of the triples, tails and then heads in each, as results of all, tails and then heads."""
    sides = [part.chunk(2, 1) for part in parts]
    return torch.cat([part[side] for side in range(2) for part in sides], 1)


def _sorted(queries: Tensor) -> tuple[Tensor, Tensor]:
    """Queries by relation, which saves models with a matrix per relation work, and where each comes from."""
    order = queries[:, 1].argsort(stable=True)
    return queries[order], order


def _unsorted(positions: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(positions).index_copy_(1, order, positions)


def _protocol(name: str) -> RankingProtocol:
    if name not in PROTOCOLS:
        raise ValueError(f"expected protocol among {', '.join(PROTOCOLS)}, found {name!r}")
    return PROTOCOLS[name]


def _check_sizes(model: nn.Module, graph: KnowledgeGraph) -> None:
    entities, relations = graph.num_entities, graph.num_relations
    if model.num_nodes != entities or model.num_relations not in (relations, 2 * relations):
        raise ValueError(
            f"expected a model of {entities} entities and {relations} or, with reciprocal ones, {2 * relations} "
            f"relation types, found {model.num_nodes} and {model.num_relations}; was it trained on {graph.name}?"
        )
