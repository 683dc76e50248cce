"""The settings of a node-classification run, checked before anything is computed or written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from gsam.nodes.models import ATTENTION, check_shape
from gsam.nodes.splits import SPLITS
from gsam.nodes.training import EpochSchedule
from gsam.optim.recipes import recipe

_SHAPE = ("hidden", "layers", "dropout", "norm", "jk", "heads")
_TUNED = ("lr", "weight_decay", *_SHAPE, "row_normalize", "epochs", "validate_every", "patience")


@dataclass(frozen=True)
class NodesConfig:
    """One model, one optimizer, one data set, several seeds.

    Optimizer options left ``None`` take the optimizer's own defaults (:data:`gsam.optim.recipes.RECIPES`).

    Attributes:
        dataset: name or file.
        model: one of :data:`~gsam.nodes.models.NODE_MODELS`.
        optimizer: one of :data:`gsam.optim.recipes.RECIPES`.
        split: ``"published"``: of the S published splits seed s takes number ``s mod S``; ``"random"``: 48 % of each
            class to train, 32 % to choose, 20 % to test, drawn by seed.
        seeds: a seed fixes the split, the initial weights and the dropout.
        epochs: training epochs at most, one optimizer step on the whole graph each.
        validate_every: epochs between validations.
        patience: validations without improvement before training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, before training fails.
        lr: learning rate.
        weight_decay: L2 penalty of the base optimizer.
        hidden: width of the hidden layers.
        layers: number of layers.
        dropout: rate after each hidden layer.
        norm: ``none``, ``batch`` or ``layer``.
        jk: jumping knowledge: ``none``, ``last``, ``cat`` or ``max``.
        heads: attention heads of ``gat`` and ``gatv2``.
        row_normalize: divide the features of each node by their sum.
        rho: radius of the ascent.
        lam: weight of the GNN's gradient in FGSAM and FGSAM+.
        alpha: weight of the flatness part in FGSAM+.
        k: interval of exact steps in FGSAM+.
        options: further options of the optimizer, by name.
    """

    dataset: str
    model: str = "gcn"
    optimizer: str = "adam"
    split: str = "published"
    seeds: tuple[int, ...] = (0,)
    epochs: int = 200
    validate_every: int = 1
    patience: int = 50
    max_skipped: int = 100
    lr: float = 1e-2
    weight_decay: float = 5e-4
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.5
    norm: str = "none"
    jk: str = "none"
    heads: int = 8
    row_normalize: bool = False
    rho: float | None = None
    lam: float | None = None
    alpha: float | None = None
    k: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shape(self.model, **self.shape)
        recipe(self.optimizer).hyperparameters(**self.optimizer_options)
        if self.split not in SPLITS:
            raise ValueError(f"expected split {' or '.join(SPLITS)}, found {self.split!r}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"expected distinct seeds >= 0, found {','.join(map(str, self.seeds)) or 'none'}")
        if max(self.seeds) >= 2**63:
            raise ValueError(f"expected seeds below 2^63, found {max(self.seeds)}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"expected a finite lr > 0, found {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"expected a finite weight_decay >= 0, found {self.weight_decay}")
        _ = self.schedule
        self.build_optimizer([torch.zeros(1, requires_grad=True)])  # refuses options out of range

    def build_optimizer(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer over ``params``."""
        return recipe(self.optimizer).build(
            params, lr=self.lr, weight_decay=self.weight_decay, total_steps=self.epochs, **self.optimizer_options
        )

    @property
    def shape(self) -> dict[str, Any]:
        """The options of :func:`gsam.nodes.build_model`."""
        return {name: getattr(self, name) for name in _SHAPE}

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The options of the optimizer that were chosen.

        Raises:
            ValueError: one is given twice.
        """
        named = {name: getattr(self, name) for name in ("rho", "lam", "alpha", "k")}
        chosen = {name: value for name, value in named.items() if value is not None}
        twice = sorted(chosen.keys() & self.options.keys())
        if twice:
            raise ValueError(f"expected each optimizer option once, found {', '.join(twice)} among options as well")
        return {**chosen, **self.options}

    @property
    def schedule(self) -> EpochSchedule:
        """How long to train."""
        return EpochSchedule(self.epochs, self.validate_every, self.patience, self.max_skipped)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Everything that was, or could have been, tuned, with the values in force."""
        names = [name for name in _TUNED if name != "heads" or self.model in ATTENTION]
        chosen = recipe(self.optimizer).hyperparameters(**self.optimizer_options)
        return {**{name: getattr(self, name) for name in names}, **chosen}

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**asdict(self), "seeds": list(self.seeds), "options": dict(self.options)}
