"""Named recipes: what a knowledge-graph run uses where nothing was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsam.kg.config import KGConfig
from gsam.optim.recipes import recipe

Settings = Mapping[str, Any]

_HYBONET: Settings = {
    "optimizer": "radam",
    "negatives": "per-triple",
    "num_negatives": 50,
    "loss": "bce",
    "negative_weight": 50.0,
    "max_grad_norm": 51.0,  # the code clips at 1 and averages over the 51 candidates that are summed up here
    "patience": 20,
}

#: settled on the validation MRR of WN18RR in short runs, see docs/honest_numbers.md
_SOFTMAX: Settings = {
    "optimizer": "radam",
    "lr": 0.17,
    "groups": {"relations": {"lr": 0.06}, "biases": {"lr": 0.03}},
    "loss": "softmax",
    "own_head": True,
    "schedule": "linear",
    "options": {"init": "identity"},
}
#: WN18RR: the radius is one of all touched entities together, so it suits graphs of that size only
_ENTITIES_CLIMB: Settings = {
    **_SOFTMAX,
    "optimizer": "lorentz-sam",
    "rho": 3.0,
    "groups": {"relations": {"lr": 0.06, "rho": 0.0}, "biases": {"lr": 0.03, "rho": 0.0}},
    "options": {
        "init": "identity",
        "max_scale": 2.5,
        "symmetric_scale": 6.0,
        "functional_scale": 3.5,
        "score_by": "functional",
    },
    "epochs": 30,
    "validate_every": 10,
}
_ENTITIES_CLIMB_BY_CHART: Settings = {
    **_ENTITIES_CLIMB,
    "optimizer": "lorentz-sam-chart",
    "rho": 2.5,
    "lr": 0.03,
    "groups": {"relations": {"lr": 0.03, "rho": 0.0}, "biases": {"lr": 0.03, "rho": 0.0}},
}
_LARGE: Settings = {**_SOFTMAX, "optimizer": "lorentz-sam", "rho": 1.0, "epochs": 20, "validate_every": 4}
#: stands for every data set without settings of its own
ANY = "*"

#: recipes by name, model and data set; the first of several unless another optimizer is wanted
PRESETS: Mapping[str, Mapping[str, Mapping[str, tuple[Settings, ...]]]] = {
    "default": {
        "hybonet": {
            ANY: (_SOFTMAX,),
            "wn18rr": (_ENTITIES_CLIMB_BY_CHART, _ENTITIES_CLIMB),
            "fb15k-237": (_LARGE,),
        }
    },
    "published": {
        "hybonet": {
            "wn18rr": (
                {
                    **_HYBONET,
                    "lr": 5e-3,
                    "batch_size": 1000,
                    "epochs": 1000,
                    "validate_every": 10,
                    "options": {"margin": 8.0, "max_norm": 1.5, "max_scale": 3.5},
                },
            ),
            "fb15k-237": (
                {
                    **_HYBONET,
                    "lr": 3e-3,
                    "batch_size": 500,
                    "epochs": 500,
                    "validate_every": 5,
                    "filter_negatives": False,
                    "options": {"margin": 8.0, "max_norm": 1.5, "max_scale": 2.5},
                },
            ),
        },
    },
}


def configure(dataset: str, *, preset: str = "default", model: str = "hybonet", **chosen: Any) -> KGConfig:
    """The configuration of a run: what was chosen, then the preset's settings, then the general defaults.

    With another optimizer than the preset has settings for, its options (``rho``, also of the groups) are left out, and
    the learning rates stay only if the base is the same.

    Args:
        dataset: name, folder or file.
        preset: one of :data:`PRESETS`; it fills in what is not given.
        model: one of :data:`~gsam.kg.KG_MODELS`.
        **chosen: fields of :class:`KGConfig`; ``None`` means not chosen. ``options``, and the options of each of the
            ``groups``, are added to those of the preset.

    Raises:
        ValueError: there is no such preset, or the configuration is refused.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    settings = preset_settings(preset, model, dataset, given.get("optimizer"))
    if given.get("optimizer", settings.get("optimizer")) != settings.get("optimizer"):
        settings = _for_optimizer(settings, given["optimizer"])
    options = {**settings.get("options", {}), **given.get("options", {})}
    groups = _merged(settings.get("groups", {}), given.get("groups", {}))
    return KGConfig(dataset, model=model, **{**settings, **given, "options": options, "groups": groups})


def preset_settings(preset: str, model: str, dataset: str, optimizer: str | None = None) -> Settings:
    """The settings of a preset for a model and a data set; the default preset may have none.

    Of several, those of the wanted optimizer, or of one that descends with the same base, or the first.

    Raises:
        ValueError: the preset is unknown, or has none for them.
    """
    if preset not in PRESETS:
        raise ValueError(f"expected a preset among {', '.join(PRESETS)}, found {preset!r}")
    by_dataset = PRESETS[preset].get(model, {})
    found = by_dataset.get(dataset, by_dataset.get(ANY, ()))
    if not found and preset != "default":
        known = ", ".join(f"{name} on {data}" for name, by_data in PRESETS[preset].items() for data in by_data)
        raise ValueError(
            f"expected what the preset {preset!r} has settings for ({known}), found {model} on {dataset}; "
            "take the preset default"
        )
    return min(found, key=lambda settings: _distance(settings["optimizer"], optimizer), default={})


def _distance(name: str, wanted: str | None) -> int:
    if wanted is None or name == wanted:
        return 0
    return 1 if recipe(name).base is recipe(wanted).base else 2


def _merged(groups: Mapping[str, Settings], chosen: Mapping[str, Settings]) -> dict[str, Settings]:
    return {part: {**groups.get(part, {}), **chosen.get(part, {})} for part in {**groups, **chosen}}


def _for_optimizer(settings: Settings, name: str) -> Settings:
    """The settings without what makes no sense to the optimizer of that name."""
    before, now = recipe(settings["optimizer"]), recipe(name)
    lost = set(before.options) - set(now.options)
    if now.base is not before.base:
        lost |= {"lr"}
    kept = {key: value for key, value in settings.items() if key not in lost}
    groups = {
        part: {k: v for k, v in options.items() if k not in lost} for part, options in kept.get("groups", {}).items()
    }
    return {**kept, "groups": groups}
