"""A knowledge graph whose entity tables are split over processes, for tables that one process, or GPU, cannot hold.

    torchrun --nproc-per-node 2 examples/kg_split_tables.py

Each process keeps a stretch of the rows, fetches the others that a batch needs, and ranks the entities that it has.
The training is that of whole tables; one process (``python examples/kg_split_tables.py``) keeps them whole.
"""

from __future__ import annotations

import torch

from gsam.datasets import load_knowledge_graph
from gsam.distributed import join, leave, whole_state_dict
from gsam.kg import HyboNet, Sampling, TrainingSchedule, parameter_groups, rank, split_entities, train
from gsam.optim import LorentzSAM, RiemannianAdam

torch.set_num_threads(1)
ranks = join()  # one of the processes that torchrun has started, or the only one
graph = load_knowledge_graph("wordnet-mammals")
torch.manual_seed(0)  # the same initial weights everywhere
model = HyboNet(graph.num_entities, 2 * graph.num_relations, 10, sparse=True, init="identity")
split_entities(model, ranks)  # before the optimizer is made
optimizer = LorentzSAM(parameter_groups(model, RiemannianAdam, {}), RiemannianAdam, lr=0.03, rho=1.0)

history = train(
    model,
    graph,
    optimizer,
    sampling=Sampling(batch_size=1000, num_negatives=300),
    schedule=TrainingSchedule(epochs=10, validate_every=5),
    ranks=ranks,
)
figures = rank(model, graph, "test", ranks=ranks).metrics()["both"]
rows = ranks.gather(len(model.node_emb.weight))
whole = whole_state_dict(model)  # in the first process, as torch.save takes it
if ranks.first:
    print(f"rows of {len(rows)} process(es): {', '.join(map(str, rows))}; together: {len(whole['node_emb.weight'])}")
    print(f"test triples: MRR {figures['mrr']:.3f}, Hits@10 {figures['hits@10']:.3f}")
leave()
