"""Complete a knowledge graph: HyboNet learns which mammals are kinds of which, with Lorentz SAM.

The bundled graph says of 1,170 mammals of WordNet which ones are above them (``hypernym``). The model is trained on a
part of these triples; it has to find the others. Nothing is downloaded.
"""

from __future__ import annotations

import torch

from gsam.datasets import load_knowledge_graph
from gsam.kg import KGRun, configure, predict, rank

torch.set_num_threads(1)  # the model is too small to gain from more
graph = load_knowledge_graph("wordnet-mammals")
config = configure(
    graph.name,
    model="hybonet",
    dim=10,
    optimizer="lorentz-sam",
    lr=0.17,
    rho=3.0,
    groups={"relations": {"lr": 0.06, "rho": 0.0}, "biases": {"lr": 0.03, "rho": 0.0}},  # the radius is for the points
    negatives="all",
    loss="softmax",
    own_head=True,
    schedule="linear",
    epochs=20,
    options={"init": "identity"},
)
model, history = KGRun(config, graph).train()

figures = rank(model, graph, "test").metrics()["both"]
print(f"test triples: MRR {figures['mrr']:.3f}, Hits@10 {figures['hits@10']:.3f}")
for head, relation, _ in graph.test[:3].tolist():
    print(f"\n{graph.entities[head]}: {graph.relations[relation]} ?")
    for answer in predict(model, graph, head=head, relation=relation, top=6, known=True):
        print(f"{answer.rank:3d}  {answer.entity:26s} {answer.score:6.2f}  {', '.join(answer.known) or 'in no file'}")
