from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from gsam.kg.config import KGConfig
from gsam.kg.losses import LossOptions
from gsam.kg.objective import Sampling
from gsam.kg.options import model_options
from gsam.kg.registry import KG_MODELS
from gsam.kg.schedule import TrainingSchedule
from gsam.optim import LorentzSAM, RiemannianAdam
from gsam.optim.recipes import RECIPES

ONE_LOSS = [name for name, recipe in RECIPES.items() if recipe.passes == "graph"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "hybonett"}, "a model among hybonet"),
        ({"optimizer": "adamm"}, "an optimizer among adam"),
        ({"optimizer": "fgsam"}, "an optimizer of one loss, such as radam or lorentz-sam, found 'fgsam'"),
        ({"dim": 0}, "dim >= 1, found 0"),
        ({"model": "roth", "dim": 3}, "even hidden_channels"),
        ({"seed": -1}, "a seed from 0"),
        ({"seed": 2**63}, "a seed from 0"),
        ({"epochs": 0}, "epochs >= 1, found 0"),
        ({"lr": 0.0}, "lr > 0, found 0.0"),
        ({"lr": math.nan}, "lr > 0, found nan"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"negatives": "few"}, "negatives among shared"),
        ({"num_negatives": 0}, "num_negatives >= 1"),
        ({"loss": "hinge"}, "a loss among bce"),
        ({"label_smoothing": 0.1}, "smoothing with the loss softmax only, found bce"),
        ({"adversarial_temperature": 1.0}, "temperature with the loss self-adversarial only"),
        ({"n3": -1.0}, "n3 >= 0"),
        ({"n3": 0.1}, "model whose embeddings N3 applies to"),
        ({"schedule": "steps"}, "a schedule among constant"),
        ({"warmup_steps": -1}, "warmup_steps >= 0"),
        ({"average": 1.0}, "average"),
        ({"max_grad_norm": 0.0}, "max_grad_norm > 0"),
        ({"weight_decay": -1.0}, "weight_decay >= 0"),
        ({"max_seconds": -1.0}, "max_seconds > 0"),
        ({"rho": 0.1}, "found rho"),
        ({"optimizer": "rsam", "rho": -1.0}, "rho >= 0"),
        ({"optimizer": "rsam", "rho": 0.1, "options": {"rho": 0.2}}, "each optimizer option once, found rho"),
        (
            {"options": {"marginn": 1.0}},
            r"options of the model 'hybonet' or the optimizer 'radam' \(.*\), found marginn",
        ),
        ({"options": {"max_scale": "x"}}, "max_scale to be a number"),
        ({"optimizer": "rsam", "options": {"per": "column"}}, "per"),
        ({"groups": {"entity": {"lr": 0.1}}}, r"groups entities .*relations, found entity"),
        ({"groups": {"entities": {"rho": 0.1}}}, r"options of a parameter group \(lr, .*\), found rho"),
        ({"optimizer": "rsam", "groups": {"entities": {"rho": -0.1}}}, "rho >= 0"),
        ({"optimizer": "adam", "sparse": True}, "row-sparse gradients, .* found 'adam'"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KGConfig("toy", **options)


@pytest.mark.parametrize("model", KG_MODELS)
@pytest.mark.parametrize("optimizer", ONE_LOSS)
def test_every_model_with_every_optimizer_by_default(model: str, optimizer: str) -> None:
    if optimizer in ("lorentz-sam", "lorentz-sam-chart", "chart-adam") and model == "murp":
        pytest.skip("its points lie in the ball, not on the hyperboloid")
    config = KGConfig("toy", model, optimizer, dim=4)
    found = config.build_model(5, 2)
    built = config.build_optimizer(found, 100)
    assert {id(p) for group in built.param_groups for p in group["params"]} == set(map(id, found.parameters()))
    expected = {**model_options(model), **RECIPES[optimizer].options}
    assert config.hyperparameters.items() >= expected.items()


def test_a_manifold_the_optimizer_cannot_take_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(ValueError, match="Lorentz"):
        KGConfig("toy", "murp", "lorentz-sam")


def test_parts_are_built_from_the_fields() -> None:
    config = KGConfig(
        "toy",
        batch_size=7,
        negatives="per-triple",
        num_negatives=3,
        filter_negatives=False,
        seed=5,
        loss="softmax",
        label_smoothing=0.1,
        score_scale=0.5,
        epochs=9,
        validate_every=2,
        patience=3,
        max_seconds=4.0,
        schedule="cosine",
        warmup_steps=6,
        average=0.9,
        max_grad_norm=2.0,
    )
    assert config.sampling == Sampling(7, "per-triple", 3, False, seed=5)
    assert config.loss_options == LossOptions("softmax", smoothing=0.1, scale=0.5)
    assert config.training_schedule == TrainingSchedule(9, 2, 3, 4.0, "cosine", 6, 0.9, 2.0)
    adversarial = KGConfig("toy", loss="self-adversarial", adversarial_temperature=0.5, loss_margin=2.0)
    assert adversarial.loss_options == LossOptions("self-adversarial", temperature=0.5, margin=2.0)


def test_options_go_to_the_model_or_the_optimizer() -> None:
    config = KGConfig(
        "toy",
        optimizer="lorentz-sam",
        rho=0.3,
        lr=0.02,
        weight_decay=0.1,
        options={"per": "row", "max_norm": 2.0},
        groups={"relations": {"rho": 0.0, "lr": 0.5}},
    )
    assert config.model_options == {"max_norm": 2.0}
    assert config.optimizer_options == {"rho": 0.3, "per": "row"}
    model = config.build_model(5, 2)
    assert model.max_norm == 2.0
    optimizer = config.build_optimizer(model, 10)
    assert isinstance(optimizer, LorentzSAM)
    assert isinstance(optimizer.base, RiemannianAdam)
    relations = {id(p) for name, p in model.named_parameters() if name.startswith("rel")}
    for group in optimizer.param_groups:
        mine = {id(p) for p in group["params"]} <= relations
        assert (group["lr"], group["rho"]) == ((0.5, 0.0) if mine else (0.02, 0.3))
        assert group["weight_decay"] == 0.1


@pytest.mark.parametrize(
    ("options", "sparse"),
    [
        ({}, True),
        ({"negatives": "all"}, False),
        ({"optimizer": "adam"}, False),
        ({"optimizer": "lorentz-sam", "negatives": "per-triple"}, True),
        ({"optimizer": "adagrad"}, True),
        ({"sparse": False}, False),
    ],
)
def test_row_sparse_where_it_can_be(options: dict[str, Any], sparse: bool) -> None:
    config = KGConfig("toy", **options)
    assert config.row_sparse == sparse
    assert config.build_model(5, 2).node_emb.sparse == sparse
    assert config.hyperparameters["sparse"] == sparse


def test_hyperparameters_in_force() -> None:
    found = KGConfig("toy", optimizer="rsam", rho=0.2, lr=0.01, options={"margin": 4.0}).hyperparameters
    assert {
        name: found[name] for name in ("rho", "lr", "margin", "max_norm", "negative_weight", "n3", "loss_margin")
    } == {
        "rho": 0.2,
        "lr": 0.01,
        "margin": 4.0,
        "max_norm": 1.5,
        "negative_weight": 50.0,
        "n3": 0.0,
        "loss_margin": 0.0,
    }
    assert "label_smoothing" not in found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_to_dict_is_json_and_comes_back() -> None:
    config = KGConfig(
        "toy", "murp", "rsam", rho=0.1, groups={"entities": {"lr": 0.1}}, options={"max_norm": 0.9, "per": "row"}
    )
    found = json.loads(json.dumps(config.to_dict()))
    assert found == config.to_dict()
    assert KGConfig(**found) == config


def test_checking_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    KGConfig("toy", optimizer="rsam")
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))
