from __future__ import annotations

from typing import Any

import pytest

from gsam.kg.config import KGConfig
from gsam.kg.presets import PRESETS, configure, preset_settings

SETTINGS = [(p, model, data) for p, models in PRESETS.items() for model, sets in models.items() for data in sets]


@pytest.mark.parametrize(("preset", "model", "dataset"), SETTINGS)
def test_settings_are_in_force_unless_something_was_chosen(preset: str, model: str, dataset: str) -> None:
    dataset = "some.tsv" if dataset == "*" else dataset
    config = configure(dataset, preset=preset, model=model, lr=None)
    assert config == KGConfig(dataset, model, **preset_settings(preset, model, dataset))
    assert configure(dataset, preset=preset, model=model, lr=0.123).lr == 0.123


def test_options_are_added_to_the_presets_own() -> None:
    found = configure("wn18rr", preset="published", options={"margin": 3.0, "dropout": 0.1})
    assert found.options == {"margin": 3.0, "max_norm": 1.5, "max_scale": 3.5, "dropout": 0.1}


def test_options_of_a_group_are_added_to_the_presets_own() -> None:
    preset = configure("wn18rr").groups
    found = configure("wn18rr", groups={"relations": {"weight_decay": 0.5}, "entities": {"lr": 0.25}}).groups
    assert found["relations"] == {**preset["relations"], "weight_decay": 0.5}
    assert found["biases"] == preset["biases"]
    assert found["entities"] == {**preset.get("entities", {}), "lr": 0.25}


def test_published_settings() -> None:
    found = configure("wn18rr", preset="published")
    expected = {
        "model": "hybonet",
        "optimizer": "radam",
        "lr": 5e-3,
        "batch_size": 1000,
        "num_negatives": 50,
        "epochs": 1000,
        "negatives": "per-triple",
        "loss": "bce",
        "negative_weight": 50.0,
        "validate_every": 10,
        "patience": 20,
    }
    assert found.to_dict().items() >= expected.items()


def test_without_settings_the_general_defaults_hold() -> None:
    assert configure("nations", model="mure") == KGConfig(
        "nations", "mure", **preset_settings("default", "mure", "nations")
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "best"}, "a preset among default, published, found 'best'"),
        ({"preset": "published", "model": "mure"}, "hybonet on wn18rr.*found mure on umls; take the preset default"),
        ({"model": "hybonett"}, "a model among"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        configure("umls", **options)


def test_another_optimizer_leaves_out_what_it_has_no_use_for() -> None:
    """Riemannian Adam keeps Lorentz SAM's learning rates, being its base, but not its radius; SGD keeps neither."""
    ours, adam, sgd = (configure("wn18rr", optimizer=name) for name in ("lorentz-sam", "radam", "rsgd"))
    assert (ours.optimizer, ours.rho) == ("lorentz-sam", 3.0)
    assert adam.rho is None
    assert sgd.rho is None
    assert adam.lr == ours.lr
    assert sgd.lr == KGConfig("wn18rr").lr
    assert adam.groups == {part: {"lr": options["lr"]} for part, options in ours.groups.items()}
    assert sgd.groups == {part: {} for part in ours.groups}
    assert sgd.loss == ours.loss == "softmax"
    other = configure("umls", optimizer="lorentz-sam")  # where the radius is the optimizer's own default
    assert (other.rho, other.lr) == (None, ours.lr)


def test_of_several_settings_those_of_the_wanted_optimizer_or_base() -> None:
    first, second = PRESETS["default"]["hybonet"]["wn18rr"]
    assert (first["optimizer"], second["optimizer"]) == ("lorentz-sam-chart", "lorentz-sam")
    for wanted, expected in (
        (None, first),
        ("lorentz-sam-chart", first),
        ("chart-adam", first),
        ("adam", first),
        ("lorentz-sam", second),
        ("rsam", second),
        ("radam", second),
    ):
        assert preset_settings("default", "hybonet", "wn18rr", wanted) is expected
    assert configure("wn18rr").optimizer == "lorentz-sam-chart"
    assert configure("wn18rr", optimizer="chart-adam").lr == first["lr"]
