"""Filtered ranks by double loops over Python sets, and a model whose scores are simply given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.kge import KGEModel

from gsam.datasets.knowledge_graph import KnowledgeGraph

Triple = tuple[int, int, int]


class GivenScores(KGEModel):
    """Scores looked up in a table [relation types, N, N]; known to be nothing but a ``forward``."""

    def __init__(self, table: Tensor) -> None:
        super().__init__(table.shape[1], table.shape[0], 1)
        self.table = torch.nn.Parameter(table)

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return self.table[rel_type, head_index, tail_index]


def random_graph(num_entities: int = 13, num_relations: int = 3, *, count: int = 90, seed: int = 0) -> KnowledgeGraph:
    """Dense enough for several known tails a query; with duplicates across splits and two self-loops in the test."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([num_entities, num_relations, num_entities])
    triples = (torch.rand(count, 3, generator=generator) * sizes).long()
    triples[:num_relations, 1] = torch.arange(num_relations)
    loops = torch.tensor([[2, 0, 2], [5, num_relations - 1, 5]])
    valid, test = triples[-30:-15], torch.cat([triples[-15:], loops, triples[:2]])
    names = {"entities": [f"e{i}" for i in range(num_entities)], "relations": [f"r{i}" for i in range(num_relations)]}
    return KnowledgeGraph("random", triples[:-30], valid, test, **names)


def all_known(graph: KnowledgeGraph) -> set[Triple]:
    return {(int(h), int(r), int(t)) for split in (graph.train, graph.valid, graph.test) for h, r, t in split}


def naive_ranks(
    table: Tensor, graph: KnowledgeGraph, split: str, protocol: str, known: set[Triple] | None = None
) -> dict[str, list[float]]:
    """Ranks by the definition, one candidate at a time.

    Heads are looked up in the reciprocal relation if ``table`` [relation types, N, N] has it.
    """
    known = all_known(graph) if known is None else known
    reciprocal = len(table) == 2 * graph.num_relations
    ranks: dict[str, list[float]] = {"head": [], "tail": []}
    for h, r, t in graph.split(split).tolist():
        tail_scores = table[r, h].tolist()
        head_scores = (table[r + graph.num_relations, t] if reciprocal else table[r, :, t]).tolist()
        others = {e for e in range(graph.num_entities) if (h, r, e) not in known} - {t}
        ranks["tail"].append(naive_rank(tail_scores, t, others, h, protocol))
        others = {e for e in range(graph.num_entities) if (e, r, t) not in known} - {h}
        ranks["head"].append(naive_rank(head_scores, h, others, t, protocol))
    return ranks


def naive_rank(scores: list[float], true: int, others: set[int], given: int, protocol: str) -> float:
    if protocol == "hybonet":
        # the published evaluation: known entities and the given one get -inf, the true one its score back;
        # rank = number of scores that are at least the true one's
        kept = [scores[e] if e in others and e != given else float("-inf") for e in range(len(scores))]
        kept[true] = scores[true]
        return float(sum(score >= scores[true] for score in kept))
    above = sum(scores[e] > scores[true] for e in others)
    ties = sum(scores[e] == scores[true] for e in others)
    return 1 + above + ties / 2
