from __future__ import annotations

import torch

from gsam.fewshot import GPN, Episode, PreparedGraph
from gsam.graphs import Adjacency
from tests.fewshot.toy import FEATURES, toy_dataset


def test_identical_supports() -> None:
    """Supports that are one node repeated give the logits of that node as the prototype, at any number of shots."""
    graph = PreparedGraph.prepare(toy_dataset(dtype=torch.float64))
    torch.manual_seed(0)
    method = GPN(FEATURES, hidden=5, dropout=0.0).double()
    query = torch.tensor([[9, 18, 126 - 9], [10, 19, 126 - 8]])
    for nodes in ([0, 1], [125 - 8, 125 - 7]):  # the second pair is isolated
        logits = [
            method.logits(graph.inputs(Episode(torch.arange(2), torch.tensor(nodes)[:, None].expand(2, k), query)))
            for k in (1, 2, 5)
        ]
        torch.testing.assert_close(logits[1], logits[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(logits[2], logits[0], rtol=1e-12, atol=1e-12)


def test_degree_decides_the_weight() -> None:
    """With a positive score the support with more edges counts more; with a negative one, less."""
    graph = PreparedGraph.prepare(toy_dataset(dtype=torch.float64))
    torch.manual_seed(0)
    method = GPN(FEATURES, hidden=5, dropout=0.0).double()
    torch.nn.init.zeros_(method.score.weight)
    support = torch.tensor([[0, 117], [1, 118]])  # the second node of each pair is isolated
    assert (graph.degree[support[:, 0]] > 1).all()
    assert (graph.degree[support[:, 1]] == 0).all()
    inputs = graph.inputs(Episode(torch.arange(2), support, torch.tensor([[9], [10]])))
    embedding = method.encoder(inputs)[0].detach()
    for bias in (2.0, 0.0, -2.0):
        torch.nn.init.constant_(method.score.bias, bias)
        sigmoid = 1 / (1 + graph.degree[support].clamp(min=1).double() ** -bias)
        weights = sigmoid.exp() / sigmoid.exp().sum(1, keepdim=True)
        assert ((weights[:, 0] > 0.5) == (bias > 0)).all()
        centres = (weights[..., None] * embedding[:4].view(2, 2, 5)).sum(1)
        expected = -((embedding[4:, None] - centres[None]) ** 2).sum(2)
        torch.testing.assert_close(
            method.logits(inputs).log_softmax(1), expected.log_softmax(1), rtol=1e-10, atol=1e-10
        )


def test_adjacency_is_the_random_walk() -> None:
    data = toy_dataset()
    expected = Adjacency.from_edges(data.edge_index, data.num_nodes, normalization="rw")
    assert GPN.normalization == "rw"
    prepared = PreparedGraph.prepare(data, normalization=GPN.normalization)
    assert torch.equal(prepared.adjacency.edge_weight, expected.edge_weight)
