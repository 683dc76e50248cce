"""SAM in Lightning's loop: a PyG model on the bundled WordNet graph, with clipping.

Needs ``pip install 'gsam-torch[engines]'``. 10 labelled nodes for each of 41 classes, accuracy on 5,000 other nodes.
"""

from __future__ import annotations

import lightning
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.nn import GraphSAGE

from gsam.datasets import load
from gsam.fewshot import baseline_embedding, mean_ci95
from gsam.graphs import Adjacency
from gsam.optim import SAM

dataset = load("wordnet")
x, labels = baseline_embedding(dataset, dim=64), dataset.labels  # [N, 64]: propagated words, made without labels
adjacency = Adjacency.from_edges(dataset.edge_index, dataset.num_nodes, normalization=None)
quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)


def block(nodes: list[int]) -> Data:
    """All that two SAGE layers read for a batch of nodes, which come first."""
    near = adjacency.subgraph(torch.tensor(nodes), hops=2, halo=0)
    return Data(x=x[near.nodes], edge_index=near.edge_index, y=labels[near.nodes[: len(nodes)]])


class Nodes(lightning.LightningModule):
    """An ordinary module, but for its optimizer, which is Adam if ``rho`` is 0."""

    def __init__(self, rho: float) -> None:
        super().__init__()
        self.rho, self.gnn = rho, GraphSAGE(x.shape[1], 32, num_layers=2, out_channels=dataset.num_classes, dropout=0.5)

    def configure_optimizers(self) -> SAM:
        """What is special here."""
        return SAM(self.gnn.parameters(), torch.optim.Adam, lr=0.03, rho=self.rho)

    def training_step(self, batch: Data) -> torch.Tensor:
        """The loss; SAM calls this and its backward twice."""
        return cross_entropy(self.gnn(batch.x, batch.edge_index)[: len(batch.y)], batch.y)


def accuracy(seed: int, rho: float) -> float:
    """Train, and return the accuracy in percent."""
    order = torch.randperm(dataset.num_nodes, generator=torch.Generator().manual_seed(seed))
    train = torch.cat([order[labels[order] == c][:10] for c in range(dataset.num_classes)]).tolist()
    torch.manual_seed(seed)
    model, loader = Nodes(rho), DataLoader(train, 103, True, collate_fn=block)  # type: ignore[arg-type,var-annotated]
    lightning.Trainer(max_epochs=10, gradient_clip_val=1.0, devices=1, **quiet).fit(model, loader)
    test = block(order[~torch.isin(order, torch.tensor(train))][:5000].tolist())
    return 100 * float((model.eval().gnn(test.x, test.edge_index)[:5000].argmax(1) == test.y).double().mean())


for name, rho in (("Adam", 0.0), ("SAM", 0.1)):
    print("{:<8} {:.1f} +- {:.1f} %".format(name, *mean_ci95([accuracy(seed, rho) for seed in (0, 1, 2)])))
