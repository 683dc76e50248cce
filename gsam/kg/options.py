"""The options of knowledge-graph models: what a model takes, and whether it takes these values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gsam.kg.registry import KG_MODELS
from gsam.optim.checks import check_kind

_SHAPE = ("self", "num_nodes", "num_relations", "hidden_channels", "sparse")


def model_options(name: str) -> dict[str, Any]:
    """The options of a model's constructor beyond its shape, and their defaults.

    Raises:
        ValueError: there is no model of that name.
    """
    if name not in KG_MODELS:
        raise ValueError(f"expected a model among {', '.join(KG_MODELS)}, found {name!r}")
    found = inspect.signature(KG_MODELS[name].__init__).parameters
    return {key: parameter.default for key, parameter in found.items() if key not in _SHAPE}


def build_model(
    name: str, num_entities: int, num_relations: int, dim: int, *, sparse: bool = False, **options: Any
) -> nn.Module:
    """Make a model that takes reciprocal relations, with fresh weights.

    Args:
        name: one of :data:`~gsam.kg.KG_MODELS`.
        num_entities: N.
        num_relations: R of the graph; the model gets twice as many.
        dim: d.
        sparse: give the entity tables row-sparse gradients. PyTorch Geometric's models give them to all tables.
        **options: see :func:`model_options`.

    Raises:
        ValueError: the model is unknown, or an option is, or is of another type than its default, or out of range.
    """
    known = model_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = ", ".join(known) or "none"
        raise ValueError(f"expected options of the model {name!r} ({takes}), found {', '.join(unknown)}")
    for key, value in options.items():
        if value is not None:  # a limit switched off
            check_kind(key, value, known[key])
    return KG_MODELS[name](num_entities, 2 * num_relations, dim, sparse=sparse, **options)


def smallest_model(name: str, dim: int, options: Mapping[str, Any]) -> nn.Module:
    """The model for one entity and one relation, to see whether it can be built; torch's random numbers stay.

    Raises:
        ValueError: as :func:`build_model`.
    """
    with torch.random.fork_rng(devices=[]):  # building draws weights
        return build_model(name, 1, 1, dim, **options)
