from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import kge

from gsam.kg.registry import KG_MODELS


def test_names() -> None:
    """The documented ones, in the documented order."""
    assert " ".join(KG_MODELS) == "hybonet murp mure roth refh atth transe distmult complex rotate"
    pygs = {"transe": kge.TransE, "distmult": kge.DistMult, "complex": kge.ComplEx, "rotate": kge.RotatE}
    assert {name: kind for name, kind in KG_MODELS.items() if not kind.__module__.startswith("gsam.")} == pygs


@pytest.mark.parametrize("name", KG_MODELS)
def test_all_are_built_and_called_alike(name: str) -> None:
    model = KG_MODELS[name](7, 3, 4, sparse=True)
    assert isinstance(model, kge.KGEModel)
    assert (model.num_nodes, model.num_relations, model.hidden_channels) == (7, 3, 4)
    index = torch.tensor([0, 2])
    assert model(index, index, index).shape == (2,)
