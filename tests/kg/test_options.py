from __future__ import annotations

import inspect

import pytest
import torch

from gsam.kg.models import HyboNet
from gsam.kg.options import build_model, model_options, smallest_model
from gsam.kg.registry import KG_MODELS
from gsam.optim.recipes import RECIPES


@pytest.mark.parametrize("name", KG_MODELS)
def test_every_model_is_built_with_reciprocal_relations_and_its_defaults(name: str) -> None:
    options = model_options(name)
    model = build_model(name, 7, 3, 4, **options)
    assert (model.num_nodes, model.num_relations, model.hidden_channels) == (7, 6, 4)
    assert type(model) is KG_MODELS[name]
    taken = inspect.signature(KG_MODELS[name]).parameters
    assert all(taken[key].default == value for key, value in options.items())


@pytest.mark.parametrize("name", KG_MODELS)
def test_no_option_is_an_optimizers_too(name: str) -> None:
    """One list of options serves both."""
    for recipe in RECIPES.values():
        assert not set(model_options(name)) & {*recipe.options, "rho"}


def test_options_and_sparse_reach_the_model() -> None:
    model = build_model("hybonet", 7, 3, 4, sparse=True, max_norm=None, margin=3)
    assert isinstance(model, HyboNet)
    assert (model.max_norm, model.margin, model.sparse) == (None, 3, True)


@pytest.mark.parametrize(
    ("name", "dim", "options", "words"),
    [
        ("hybonett", 4, {}, "a model among hybonet, murp"),
        ("hybonet", 4, {"marginn": 1.0}, r"options of the model 'hybonet' \(margin, .*\), found marginn"),
        ("hybonet", 4, {"margin": "8"}, "margin to be a number such as 8.0, found '8'"),
        ("hybonet", 4, {"dropout": 1.0}, "dropout"),
        ("roth", 5, {}, "even hidden_channels"),
        ("murp", 4, {"max_norm": 1.0}, "max_norm"),
    ],
)
def test_refused(name: str, dim: int, options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        smallest_model(name, dim, options)


def test_checking_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    smallest_model("hybonet", 4, {})
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))
