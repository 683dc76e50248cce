"""What the sharpness-aware wrapper costs on a 2-layer GCN: a SAM step, and the wrapper with rho = 0, over the base."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from harness import alternating_minima, save
from torch.nn import functional as F
from torch_geometric.nn.models import GCN

from gsam.optim import SAM

NODES, FEATURES, EDGES, CLASSES = 2708, 1433, 10556, 7  # the size of Cora


def step_task(rho: float | None, count: int) -> Callable[[], Any]:
    """A task of ``count`` full-batch steps with Adam, in SAM with this ``rho``, or alone if ``None``."""
    torch.manual_seed(0)
    x, y = torch.rand(NODES, FEATURES), torch.randint(CLASSES, (NODES,))
    edge_index = torch.randint(NODES, (2, EDGES))
    model = GCN(FEATURES, 16, 2, CLASSES, dropout=0.5)
    options: dict[str, Any] = {"lr": 1e-2, "weight_decay": 5e-4, "fused": True}
    optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), **options)
    if rho is not None:
        optimizer = SAM(model.parameters(), torch.optim.Adam, rho=rho, **options)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x, edge_index), y)
        loss.backward()
        return loss

    def task() -> None:
        for _ in range(count):
            optimizer.step(closure)  # type: ignore[arg-type]

    return task


def main() -> None:
    """Measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tasks = {"base": step_task(None, 10), "rho=0": step_task(0.0, 10), "sam": step_task(0.05, 10)}
    seconds = alternating_minima(tasks, options.rounds)
    ratios = {name: seconds[name] / seconds["base"] for name in ("rho=0", "sam")}
    print("milliseconds per step", {name: 100 * s for name, s in seconds.items()}, "ratio to the base", ratios)
    save(
        f"optimizer_overhead_{options.threads}_threads",
        {"milliseconds_per_step": {n: 100 * s for n, s in seconds.items()}, "ratio_to_base": ratios},
    )


if __name__ == "__main__":
    main()
