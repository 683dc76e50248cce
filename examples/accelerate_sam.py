"""SAM in accelerate's loop: a PyG model on the bundled WordNet graph, bf16, accumulated gradients, a schedule.

Needs ``pip install 'gsam-torch[engines]'``. 10 labelled nodes for each of 41 classes, accuracy on 5,000 other nodes.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.nn import GraphSAGE

from gsam.datasets import load
from gsam.fewshot import baseline_embedding, mean_ci95
from gsam.graphs import Adjacency
from gsam.optim import SAM

dataset, accelerator = load("wordnet"), Accelerator(mixed_precision="bf16", gradient_accumulation_steps=2)
x, labels = baseline_embedding(dataset, dim=64), dataset.labels  # [N, 64]: propagated words, made without labels
adjacency = Adjacency.from_edges(dataset.edge_index, dataset.num_nodes, normalization=None)


def block(nodes: list[int]) -> Data:
    """All that two SAGE layers read for a batch of nodes, which come first."""
    near = adjacency.subgraph(torch.tensor(nodes), hops=2, halo=0)
    return Data(x=x[near.nodes], edge_index=near.edge_index, y=labels[near.nodes[: len(nodes)]])


def accuracy(seed: int, rho: float) -> float:
    """Train with SAM (with Adam if ``rho`` is 0), and return the accuracy in percent."""
    order = torch.randperm(dataset.num_nodes, generator=torch.Generator().manual_seed(seed))
    train = torch.cat([order[labels[order] == c][:10] for c in range(dataset.num_classes)]).tolist()
    torch.manual_seed(seed)
    gnn = GraphSAGE(x.shape[1], 32, num_layers=2, out_channels=dataset.num_classes, dropout=0.5)
    sam = SAM(gnn.parameters(), torch.optim.Adam, lr=0.03, rho=rho)
    nodes = DataLoader(train, 103, shuffle=True, collate_fn=block)  # type: ignore[arg-type,var-annotated]
    drops = torch.optim.lr_scheduler.StepLR(sam, 10, gamma=0.5)
    model, optimizer, loader, scheduler = accelerator.prepare(gnn, sam, nodes, drops)
    kept: list[Data] = []

    def closure() -> None:  # each pass is over all that is accumulated
        optimizer.zero_grad()
        for batch in kept:
            accelerator.backward(cross_entropy(model(batch.x, batch.edge_index)[: len(batch.y)], batch.y))

    for batch in (batch for _ in range(8) for batch in loader):
        kept.append(batch)
        with accelerator.accumulate(model):
            if accelerator.sync_gradients:
                optimizer.step(closure)
                kept.clear()
            scheduler.step()
    test = block(order[~torch.isin(order, torch.tensor(train))][:5000].tolist()).to(accelerator.device)
    return 100 * float((gnn.eval()(test.x, test.edge_index)[:5000].argmax(1) == test.y).double().mean())


for name, rho in (("Adam", 0.0), ("SAM", 0.1)):
    print("{:<8} {:.1f} +- {:.1f} %".format(name, *mean_ci95([accuracy(seed, rho) for seed in (0, 1, 2)])))
