"""Compiled against eager: the time of a training step, and how far the weights part.

Two workloads, the model (or the loss of a batch) given to ``torch.compile``, the optimizer as it is: full-batch node
classification with SAM, and HyboNet's dense step with Lorentz SAM. Both kinds take turns in one process, each from the
same weights. Times are per step, once warm; the first call, which compiles, is told beside them. Weights are compared
after a few steps in float64, where rounding cannot hide an error, and in float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import alternating_minima, save
from torch import Tensor, nn

from gsam.datasets import load_knowledge_graph, load_nodes
from gsam.graphs import SparseRows
from gsam.kg import Objective, configure, with_reciprocals
from gsam.kg.limits import constrain
from gsam.nodes import build_model
from gsam.optim.recipes import recipe

Step = Callable[[], Any]
KINDS = ("eager", "compiled")


def nodes(options: argparse.Namespace, kind: str, dtype: torch.dtype) -> tuple[Step, nn.Module]:
    """A full-batch step of SAM on a node-classification graph with projected features, without dropout."""
    torch.manual_seed(0)
    dataset = load_nodes(options.nodes)
    mixing = torch.randn(dataset.features.shape[1], options.features) / 8  # to a dense table that fits in memory
    features = dataset.features
    assert isinstance(features, SparseRows)
    x, edges, labels = features.matmul(mixing).to(dtype), dataset.edge_index, dataset.labels
    kept = labels >= 0
    model = build_model(options.model, x.shape[1], int(labels.max()) + 1, dropout=0.0, norm="batch").to(dtype)
    run = torch.compile(model) if kind == "compiled" else model
    optimizer: Any = recipe("sam").build(model.parameters(), lr=0.01)
    optimizer.module = model

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(run(x, edges)[kept], labels[kept])
        loss.backward()
        return loss.detach()

    return lambda: optimizer.step(closure), model


def knowledge(options: argparse.Namespace, kind: str, dtype: torch.dtype) -> tuple[Step, nn.Module]:
    """A step of Lorentz SAM on HyboNet, on full batches in their order, with negatives of their own."""
    torch.manual_seed(0)
    graph = load_knowledge_graph(options.graph)
    config = configure("wn18rr", optimizer="lorentz-sam", sparse=False)
    model = config.build_model(graph.num_entities, graph.num_relations).train().to(dtype)
    optimizer: Any = config.build_optimizer(model, total_steps=1)
    triples = with_reciprocals(graph.train, graph.num_relations)
    batches, sampler = config.sampling.build(triples, graph.num_entities, 2 * graph.num_relations)
    objective = Objective(model, config.loss_options, count=sampler.count)
    losses = torch.compile(objective.losses) if kind == "compiled" else objective.losses
    full = [batch for batch in batches.epoch() if len(batch) == config.sampling.batch_size]
    place = 0

    def step() -> None:
        nonlocal place
        batch = full[place % len(full)]
        negatives, place = sampler.draw(batch), place + 1

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = losses(batch, negatives).mean()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        constrain(model, optimizer, objective.touched(batch, negatives))

    return step, model


WORKLOADS = {"nodes": nodes, "kg": knowledge}


def parted(options: argparse.Namespace, make: Callable[..., tuple[Step, nn.Module]], dtype: torch.dtype) -> float:
    """Largest difference of a weight, compiled against eager, after a few steps, over the size of the weights."""
    weights = []
    for kind in KINDS:
        step, model = make(options, kind, dtype)
        for _ in range(options.compared):
            step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return float((weights[1] - weights[0]).abs().max() / weights[0].abs().max())


def _repeat(step: Step, count: int) -> None:
    for _ in range(count):
        step()


def timed(options: argparse.Namespace, make: Callable[..., tuple[Step, nn.Module]]) -> dict[str, Any]:
    """Milliseconds of a step of either kind, their ratio, and the seconds of the call that compiles."""
    steps: dict[str, Step] = {}
    first: dict[str, float] = {}
    for kind in KINDS:
        steps[kind] = make(options, kind, torch.float32)[0]
        started = time.perf_counter()
        steps[kind]()
        first[kind] = time.perf_counter() - started
        for _ in range(2):
            steps[kind]()
    tasks: dict[str, Callable[[], Any]] = {kind: partial(_repeat, step, options.steps) for kind, step in steps.items()}
    seconds = alternating_minima(tasks, options.rounds)
    return {
        "milliseconds_per_step": {kind: 1000 * seconds[kind] / options.steps for kind in KINDS},
        "eager_over_compiled": seconds["eager"] / seconds["compiled"],
        "first_step_seconds": first,
    }


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", default="wordnet")
    parser.add_argument("--model", default="gcn", choices=["gcn", "sage", "gat"])
    parser.add_argument("--features", type=int, default=64, help="columns that the features are projected to")
    parser.add_argument("--graph", default="wn18rr")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--steps", type=int, default=20, help="in a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--compared", type=int, default=5, help="steps after which the weights are compared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a step or two of each, nothing saved")
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.rounds, options.compared = 1, 1, 2
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"graphs": {"nodes": options.nodes, "kg": options.graph}, "model": options.model}
    for name in options.workloads:
        make = WORKLOADS[name]
        figures[name] = timed(options, make)
        figures[name]["weights_part_by"] = {
            str(dtype).removeprefix("torch."): parted(options, make, dtype) for dtype in (torch.float64, torch.float32)
        }
        print(name, figures[name], flush=True)
        torch.compiler.reset()
    if not options.smoke:
        save("compile", figures)


if __name__ == "__main__":
    main()
