from __future__ import annotations

from typing import Any

import pytest
import torch
from geoopt import Euclidean
from torch_geometric.nn import RotatE

from gsam.kg.groups import parameter_groups, takes_row_sparse
from gsam.kg.models import AttH, HyboNet
from gsam.optim import SAM, RiemannianAdam, RiemannianSGD


def described(model: torch.nn.Module, groups: list[dict[str, Any]]) -> list[tuple[set[str], bool]]:
    """The names in each group, and whether it is on a manifold."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    flat = (type(None), Euclidean)
    return [({names[id(p)] for p in group["params"]}, not isinstance(group["manifold"], flat)) for group in groups]


def test_entities_and_relations_by_manifold() -> None:
    model = HyboNet(5, 2, 4)
    groups = parameter_groups(model, RiemannianAdam, {"relations": {"lr": 0.1}, "entities": {"rho": 0.3}})
    names_of = {"entities": {"node_emb.weight"}, "biases": {"head_bias.weight", "tail_bias.weight"}}
    assert sorted(described(model, groups), key=lambda group: sorted(group[0])) == [
        ({"head_bias.weight", "tail_bias.weight"}, False),
        ({"node_emb.weight"}, True),
        ({"rel_bias.weight", "rel_transform"}, False),
    ]
    for group, (names, _) in zip(groups, described(model, groups), strict=True):
        assert group.get("lr") == (None if names in names_of.values() else 0.1)
        assert group.get("rho") == (0.3 if names == names_of["entities"] else None)


@pytest.mark.parametrize("model", [HyboNet(5, 2, 4), AttH(5, 2, 4), RotatE(5, 2, 4)], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("base", [RiemannianAdam, torch.optim.Adam])
def test_every_parameter_once_and_manifolds_for_those_that_know_them(model: torch.nn.Module, base: Any) -> None:
    groups = parameter_groups(model, base, {})
    together = [id(p) for group in groups for p in group["params"]]
    assert sorted(together) == sorted(map(id, model.parameters()))
    assert any(curved for _, curved in described(model, groups)) == (
        base is RiemannianAdam and isinstance(model, HyboNet)
    )


@pytest.mark.parametrize(
    ("build", "takes"),
    [
        (lambda params: torch.optim.Adam(params, fused=True), False),
        (lambda params: torch.optim.AdamW(params), False),
        (lambda params: torch.optim.SGD(params, lr=0.1), True),
        (lambda params: torch.optim.SGD(params, lr=0.1, weight_decay=0.1), False),
        (lambda params: torch.optim.Adagrad(params), True),
        (lambda params: RiemannianAdam(params), True),
        (lambda params: RiemannianSGD(params, lr=0.1), True),
        (lambda params: SAM(params, torch.optim.Adam), False),
        (lambda params: SAM(params, RiemannianAdam), True),
    ],
)
def test_who_takes_row_sparse_gradients(build: Any, takes: bool) -> None:
    assert takes_row_sparse(build) == takes
