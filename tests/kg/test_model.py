from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn.kge import KGEModel

from gsam.kg._pairing import Parts
from gsam.kg.model import KGModel


class Dot(KGModel):
    """The least a model has to say."""

    def __init__(self, num_nodes: int, num_relations: int, hidden_channels: int, sparse: bool = False) -> None:
        super().__init__(num_nodes, num_relations, hidden_channels, sparse)
        self.node_emb = self._entity_table(hidden_channels)
        self.rel_emb = self._relation_table(hidden_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.node_emb.weight)
        nn.init.normal_(self.rel_emb.weight)

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        return (self.node_emb(head_index) * self.rel_emb(rel_type),)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        return (self.node_emb.weight if tail_index is None else self.node_emb(tail_index),)


def test_three_methods_make_a_model() -> None:
    torch.manual_seed(0)
    model = Dot(9, 2, 4)
    assert isinstance(model, KGEModel)
    head, relation, tail = torch.tensor([0, 8]), torch.tensor([1, 0]), torch.tensor([3, 8])
    scores = model(head, relation, tail)
    entity, rel = model.node_emb.weight, model.rel_emb.weight
    for score, h, r, t in zip(scores, head, relation, tail, strict=True):
        assert score.item() == pytest.approx((entity[h] * rel[r] * entity[t]).sum().item(), rel=1e-5)
    assert model.loss(head, relation, tail).isfinite()
    assert model.regularization(head, relation, tail) == ()
    before = entity.detach().clone()
    model.constrain()
    assert torch.equal(entity, before)
    assert repr(model) == "Dot(9, num_relations=2, hidden_channels=4)"


def test_tables_are_drawn_once() -> None:
    """The constructor uses no random numbers of its own, as PyG's does."""
    torch.manual_seed(0)
    state = torch.get_rng_state()
    KGModel(1000, 3, 8)
    assert torch.equal(torch.get_rng_state(), state)


def test_biases_start_at_zero_and_are_sparse_on_demand() -> None:
    model = KGModel(5, 3, 8, sparse=True)
    model.reset_parameters()
    assert not model.head_bias.weight.any()
    assert not model.tail_bias.weight.any()
    assert model.head_bias.sparse
    assert model.tail_bias.weight.shape == (5, 1)
    assert not KGModel(5, 3, 8).head_bias.sparse


def test_sizes() -> None:
    for sizes, message in [((0, 1, 1), "nodes"), ((1, 0, 1), "relations"), ((1, 1, -3), "hidden_channels")]:
        with pytest.raises(ValueError, match=f"expected at least 1 for the number of {message}, found {min(sizes)}"):
            KGModel(*sizes)


def test_the_interface_alone_scores_nothing() -> None:
    index = torch.zeros(1, dtype=torch.long)
    with pytest.raises(NotImplementedError):
        KGModel(2, 1, 2)(index, index, index)
    with pytest.raises(NotImplementedError):
        KGModel(2, 1, 2).candidates()


def test_an_entity_that_is_not_there() -> None:
    model = Dot(9, 2, 4)
    with pytest.raises(IndexError):
        model(torch.tensor([9]), torch.tensor([0]), torch.tensor([0]))
