"""What a step of Riemannian SAM costs: against a step of its base alone, forward and backward passes included.

HyboNet on WN18RR's training triples: the row-sparse step of the default preset, and a dense one. The optimizers take
turns in one process, on batches and negatives of their own; times are per step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from harness import alternating_minima, save

from gsam.datasets import KnowledgeGraph, load_knowledge_graph
from gsam.kg import KGConfig, Objective, configure, with_reciprocals
from gsam.kg.limits import constrain

OPTIMIZERS = ("radam", "rsam", "lorentz-sam")


def steps(config: KGConfig, graph: KnowledgeGraph, count: int) -> Callable[[], Any]:
    """A task of ``count`` training steps, each with its batch, its negatives and the model's limits."""
    torch.manual_seed(0)
    model = config.build_model(graph.num_entities, graph.num_relations).train()
    optimizer = config.build_optimizer(model, total_steps=count)
    triples = with_reciprocals(graph.train, graph.num_relations)
    batches, sampler = config.sampling.build(triples, graph.num_entities, 2 * graph.num_relations)
    objective = Objective(model, config.loss_options, count=sampler.count)
    take: Any = optimizer.step

    def task() -> None:
        for _, batch in zip(range(count), batches.epoch(), strict=False):
            negatives = sampler.draw(batch)

            def closure(batch: Any = batch, negatives: Any = negatives) -> torch.Tensor:
                optimizer.zero_grad()
                loss = objective.losses(batch, negatives).mean()
                loss.backward()
                return loss.detach()

            take(closure)
            constrain(model, optimizer, objective.touched(batch, negatives))

    return task


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="wn18rr")
    parser.add_argument("--steps", type=int, default=60, help="in a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    graph = load_knowledge_graph(options.dataset)
    figures: dict[str, Any] = {"dataset": graph.name, "steps": options.steps, "rounds": options.rounds}
    for kind, sparse in (("row-sparse", True), ("dense", False)):
        tasks = {
            name: steps(configure("wn18rr", optimizer=name, sparse=sparse), graph, options.steps) for name in OPTIMIZERS
        }
        for task in tasks.values():
            task()  # warm
        seconds = alternating_minima(tasks, options.rounds)
        ratios = {name: seconds[name] / seconds["radam"] for name in OPTIMIZERS[1:]}
        figures[kind] = {
            "milliseconds_per_step": {name: 1000 * seconds[name] / options.steps for name in OPTIMIZERS},
            "against_base": ratios,
        }
        print(kind, figures[kind], flush=True)
    save("riemannian_step", figures)


if __name__ == "__main__":
    main()
