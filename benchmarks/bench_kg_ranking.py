"""Filtered evaluation of a knowledge graph's test triples, both sides, against PyG's ``KGEModel.test`` on ComplEx.

PyG ranks tails only, without a filter, one triple at a time; it is timed on ``--pyg-triples`` of them, and its seconds
per query are multiplied by the number of queries that ``rank`` answers (two for each test triple).

Ranks are compared with a reference that scores every candidate by the model's ``forward`` in float64, one query at a
time, and filters by Python sets, on ``--reference-triples`` evenly spaced test triples: those of ``rank`` on the same
weights in float64 have to be equal, and those in float32, in which the times are taken, are counted.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import alternating_minima, save
from torch import Tensor
from torch_geometric.nn.kge import ComplEx, KGEModel

from gsam.datasets import KnowledgeGraph, load
from gsam.kg.models import HyboNet
from gsam.kg.ranking import rank
from gsam.kg.ranks import Ranking

PYG_BATCH = 20_000  # as in PyG's own example


def random_graph() -> KnowledgeGraph:
    """A small graph to try the script on."""
    generator = torch.Generator().manual_seed(0)
    triples = (torch.rand(4000, 3, generator=generator) * torch.tensor([1000, 4, 1000])).long()
    names = [f"e{i}" for i in range(1000)], [f"r{i}" for i in range(4)]
    return KnowledgeGraph("random", triples[:3600], triples[3600:3800], triples[3800:], *names)


def build_models(graph: KnowledgeGraph) -> dict[str, KGEModel]:
    """Models with reciprocal relations and random weights, on which the time does not depend."""
    torch.manual_seed(0)
    size = (graph.num_entities, 2 * graph.num_relations)
    hybonet = HyboNet(*size, 32)
    for bias in (hybonet.head_bias, hybonet.tail_bias):  # they start at 0
        torch.nn.init.normal_(bias.weight)
    return {"hybonet-32": hybonet, "complex-50": ComplEx(*size, 50)}


@torch.no_grad()
def reference_ranks(model: KGEModel, graph: KnowledgeGraph, triples: Tensor) -> dict[str, list[float]]:
    """Filtered ranks with realistic ties of a float64 model, one query at a time."""
    known = {tuple(triple) for triple in graph.all_triples().tolist()}
    entities = torch.arange(graph.num_entities)
    ranks: dict[str, list[float]] = {"head": [], "tail": []}
    for h, r, t in triples.tolist():
        others = torch.tensor([(h, r, e) not in known for e in range(graph.num_entities)])
        ranks["tail"].append(_reference_rank(model, h, r, entities, t, others))
        others = torch.tensor([(e, r, t) not in known for e in range(graph.num_entities)])
        ranks["head"].append(_reference_rank(model, t, r + graph.num_relations, entities, h, others))
    return ranks


def _reference_rank(model: KGEModel, given: int, relation: int, entities: Tensor, true: int, others: Tensor) -> float:
    scores = model(torch.full_like(entities, given), torch.full_like(entities, relation), entities)
    above, ties = ((scores > scores[true]) & others).sum(), ((scores == scores[true]) & others).sum()
    return 1 + int(above) + int(ties) / 2


def compare(model: KGEModel, graph: KnowledgeGraph, count: int) -> dict[str, Any]:
    """How the ranks of float64 and float32 weights agree with the reference on ``count`` test triples."""
    chosen = torch.linspace(0, len(graph.test) - 1, min(count, len(graph.test))).long()
    double = copy.deepcopy(model).double()
    reference = reference_ranks(double, graph, graph.test[chosen])
    expected = torch.tensor(reference["head"] + reference["tail"], dtype=torch.float64)
    found64, found32 = (_chosen(rank(m, graph), chosen) for m in (double, model))
    return {
        "queries": len(expected),
        "float64_equal": int((found64 == expected).sum()),
        "float32_equal": int((found32 == expected).sum()),
        "float32_largest_relative_difference": float(((found32 - expected).abs() / expected).max()),
        "mrr_reference": float(expected.reciprocal().mean()),
        "mrr_float32": float(found32.reciprocal().mean()),
    }


def _chosen(ranking: Ranking, rows: Tensor) -> Tensor:
    return torch.cat([ranking.ranks["head"][rows], ranking.ranks["tail"][rows]])


def measure(graph: KnowledgeGraph, models: dict[str, KGEModel], rounds: int, pyg_triples: int) -> dict[str, Any]:
    """Seconds of every model, and of PyG per query."""
    sample = graph.test[:pyg_triples]
    tasks: dict[str, Callable[[], Any]] = {name: partial(rank, model, graph) for name, model in models.items()}
    tasks["pyg"] = partial(models["complex-50"].test, *sample.unbind(1), batch_size=PYG_BATCH, log=False)
    seconds, queries = alternating_minima(tasks, rounds), 2 * len(graph.test)
    per_query = seconds.pop("pyg") / len(sample)
    return {
        "queries": queries,
        "seconds": seconds,
        "pyg_seconds_per_query": per_query,
        "pyg_timed_on_triples": len(sample),
        "pyg_seconds_for_all_queries_extrapolated": per_query * queries,
        "times_as_fast_as_pyg_on_complex": per_query * queries / seconds["complex-50"],
        "times_as_fast_as_pyg_tails_only_on_complex": per_query * queries / 2 / seconds["complex-50"],
    }


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="wn18rr")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pyg-triples", type=int, default=30)
    parser.add_argument("--reference-triples", type=int, default=200)
    parser.add_argument("--smoke", action="store_true", help="a small random graph, one round, nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    graph = random_graph() if options.smoke else load(options.dataset)
    if not isinstance(graph, KnowledgeGraph):
        raise SystemExit(f"expected a knowledge graph, found {options.dataset}")
    models = build_models(graph)
    figures: dict[str, Any] = {"dataset": graph.name, "entities": graph.num_entities}
    figures |= measure(
        graph, models, 1 if options.smoke else options.rounds, 3 if options.smoke else options.pyg_triples
    )
    count = 5 if options.smoke else options.reference_triples
    figures["agreement"] = {name: compare(model, graph, count) for name, model in models.items()}
    print(figures)
    if not options.smoke:
        save(f"kg_ranking_{graph.name}_{options.threads}_threads", figures)


if __name__ == "__main__":
    main()
