"""Evaluation as the Open Graph Benchmark asks for it: against its negatives, by its own ``Evaluator``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from gsam.datasets.knowledge_graph import KnowledgeGraph

SIDES = ("head", "tail")
_SCORES_AT_ONCE = 1 << 18  # each gathers the embeddings of its entity
_LISTS = {"mrr": "mrr_list", "hits@1": "hits@1_list", "hits@3": "hits@3_list", "hits@10": "hits@10_list"}


class TripleScorer(Protocol):
    """A model that scores triples, as :class:`torch_geometric.nn.kge.KGEModel` does."""

    num_relations: int
    training: bool

    def __call__(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        """Return a score per triple [B], the higher the more likely."""

    def train(self, mode: bool = True) -> Any:
        """Choose training or evaluation mode."""

    def parameters(self) -> Iterator[Any]:
        """Return the parameters; the first one tells the device."""


def ogb_metrics(model: TripleScorer, graph: KnowledgeGraph, *, split: str = "test") -> dict[str, dict[str, float]]:
    """Rank the triples of a split against the official negatives, by the ``Evaluator`` of the package ``ogb``.

    Every triple is compared with the K corrupted heads and, separately, the K corrupted tails that OGB publishes for
    it, and its rank among these K + 1 gives the reciprocal rank and hits. Leaderboards show the mean over both sides.
    A model with twice the relations of the graph was trained with reciprocal ones and scores heads as the tails of
    (t, r + R, ?). Importing ``ogb`` starts a thread that asks the package index for a newer version.

    Args:
        model: Scores triples; is put into evaluation mode meanwhile.
        graph: ``ogbl-biokg`` or ``ogbl-wikikg2`` from :func:`gsam.datasets.load`.
        split: ``"valid"`` or ``"test"``.

    Returns:
        ``"both"``, ``"head"`` and ``"tail"``, each with ``mrr``, ``hits@1``, ``hits@3``, ``hits@10`` and ``count``.

    Raises:
        ImportError: ``ogb`` is not installed.
        ValueError: The graph has no official negatives for the split, or a score is NaN.
    """
    evaluator = _evaluator(graph.name)
    found: dict[str, dict[str, list[Tensor]]] = {side: {name: [] for name in _LISTS} for side in SIDES}
    for side in SIDES:
        for positive, negative in official_scores(model, graph, split, side):
            lists = evaluator.eval({"y_pred_pos": positive, "y_pred_neg": negative})
            for name, key in _LISTS.items():
                found[side][name].append(torch.as_tensor(lists[key]).double().cpu())
    sides = {side: {name: torch.cat(parts) for name, parts in lists.items()} for side, lists in found.items()}
    both = {name: torch.cat([sides[side][name] for side in SIDES]) for name in _LISTS}
    return {name: _means(lists) for name, lists in {"both": both, **sides}.items()}


def official_scores(
    model: TripleScorer, graph: KnowledgeGraph, split: str, side: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the scores of the triples of a split and of their official negatives, some rows at a time.

    Args:
        model: Scores triples; is put into evaluation mode meanwhile.
        graph: Has ``negatives`` for the split.
        split: ``"valid"`` or ``"test"``.
        side: ``"head"`` or ``"tail"``: what the negatives replace.

    Yields:
        [B] scores of true triples and [B, K] of their negatives.

    Raises:
        ValueError: The graph has no official negatives for the split, another side, or a score is NaN.
    """
    triples, negatives = graph.split(split), _negatives(graph, split, side)
    device, was_training = next(iter(model.parameters())).device, model.training
    rows = max(1, _SCORES_AT_ONCE // (negatives.shape[1] + 1))
    model.train(False)
    try:
        for start in range(0, len(triples), rows):
            block = triples[start : start + rows].to(device)
            others = negatives[start : start + rows].to(device, torch.int64)
            with torch.no_grad():
                scores = _scores(model, block, others, side, graph.num_relations)
            if bool(scores.isnan().any()):
                raise ValueError(f"expected scores that are numbers, found NaN among triples {start} to {start + rows}")
            yield scores[:, 0], scores[:, 1:]
    finally:
        model.train(was_training)


def _negatives(graph: KnowledgeGraph, split: str, side: str) -> Tensor:
    if side not in SIDES:
        raise ValueError(f"expected side head or tail, found {side!r}")
    if split not in graph.negatives:
        known = ", ".join(graph.negatives) or "none"
        raise ValueError(
            f"expected official negatives for {split!r} of {graph.name}, found those of: {known}; use gsam.kg.rank, "
            "which ranks against all entities"
        )
    return graph.negatives[split].heads if side == "head" else graph.negatives[split].tails


def _scores(model: TripleScorer, triples: Tensor, negatives: Tensor, side: str, num_relations: int) -> Tensor:
    """Return [B, K + 1]: the score of each triple and those of its negatives."""
    head, relation, tail = triples.unbind(dim=1)
    own, fixed = (head, tail) if side == "head" else (tail, head)
    candidates = torch.cat([own[:, None], negatives], dim=1)
    fixed, relation = (column[:, None].expand_as(candidates).reshape(-1) for column in (fixed, relation))
    flat = candidates.reshape(-1)
    if side == "tail":
        found = model(fixed, relation, flat)
    elif model.num_relations == 2 * num_relations:
        found = model(fixed, relation + num_relations, flat)
    else:
        found = model(flat, relation, fixed)
    return found.view_as(candidates)


def _evaluator(name: str) -> Any:
    try:
        module = importlib.import_module("ogb.linkproppred")
    except ImportError as error:
        raise ImportError(
            "expected the package ogb, whose Evaluator the benchmark asks for, found none: "
            "pip install 'gsam-torch[ogb]', or pip install ogb"
        ) from error
    return module.Evaluator(name=name)


def _means(lists: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in lists.items()} | {"count": len(lists["mrr"])}
