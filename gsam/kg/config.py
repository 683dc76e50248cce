"""The settings of a training run on a knowledge graph, checked before anything is computed or written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from gsam.kg.groups import PARTS, parameter_groups, takes_row_sparse
from gsam.kg.losses import LossOptions
from gsam.kg.objective import Sampling
from gsam.kg.options import build_model, model_options, smallest_model
from gsam.kg.regularizers import factors
from gsam.kg.schedule import TrainingSchedule
from gsam.optim.recipes import recipe

_TUNED = (
    *(
        "dim",
        "epochs",
        "lr",
        "weight_decay",
        "batch_size",
        "negatives",
        "num_negatives",
        "filter_negatives",
        "own_head",
        "loss",
    ),
    *("schedule", "warmup_steps", "average", "max_grad_norm", "validate_every", "patience", "max_seconds", "seed"),
)


@dataclass(frozen=True)
class KGConfig:
    """One model, one optimizer, one knowledge graph, one seed.

    Options left ``None`` take the defaults of what they belong to: the loss (:class:`~gsam.kg.LossOptions`), the
    optimizer (:data:`gsam.optim.recipes.RECIPES`).

    Attributes:
        dataset: name, folder or file.
        model: one of :data:`~gsam.kg.KG_MODELS`.
        optimizer: one of :data:`gsam.optim.recipes.RECIPES`. Riemannian ones step on the models' manifolds; others
            step on the coordinates, and the model puts the points back.
        dim: dimension d of the embeddings.
        seed: of the initial weights, the orders, the negatives and the dropout.
        epochs: passes over the training triples and their reciprocals at most.
        lr: learning rate.
        batch_size: triples in a step.
        negatives: ``"shared"`` by the batch, ``"per-triple"`` or ``"all"``.
        num_negatives: of each triple.
        filter_negatives: take out candidates that make a training triple.
        own_head: the head of a triple is one more negative of its own query.
        loss: ``"bce"``, ``"softmax"`` or ``"self-adversarial"``.
        negative_weight: effective number of negatives of ``bce``, weight of those of ``self-adversarial``.
        loss_margin: added to the scores by ``bce`` and ``self-adversarial``.
        adversarial_temperature: of ``self-adversarial``.
        label_smoothing: of ``softmax``.
        score_scale: what ``softmax`` multiplies the scores with.
        n3: weight of the N3 penalty.
        schedule: of the learning rate: ``"constant"``, ``"linear"`` or ``"cosine"``.
        warmup_steps: steps in which the learning rate grows.
        average: decay of a running average of the weights; 0 for none.
        max_grad_norm: clip the gradient to this norm.
        weight_decay: L2 penalty of the base optimizer.
        validate_every: epochs between validations.
        patience: validations without improvement before training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, before training fails.
        max_seconds: training time after which training stops.
        rho: radius of the ascent.
        sparse: row-sparse gradients of the entity tables; ``None``: where the optimizer takes them and not all
            entities are negatives.
        groups: options of the optimizer for ``"entities"``, ``"biases"`` or ``"relations"`` alone, such as
            ``{"relations": {"weight_decay": 1e-3, "rho": 0.1}}``.
        options: further options of the model (:func:`~gsam.kg.model_options`) or of the optimizer, by name.
    """

    dataset: str
    model: str = "hybonet"
    optimizer: str = "radam"
    dim: int = 32
    seed: int = 0
    epochs: int = 100
    lr: float = 5e-3
    batch_size: int = 1000
    negatives: str = "shared"
    num_negatives: int = 1000
    filter_negatives: bool = True
    own_head: bool = False
    loss: str = "bce"
    negative_weight: float | None = None
    loss_margin: float | None = None
    adversarial_temperature: float | None = None
    label_smoothing: float | None = None
    score_scale: float | None = None
    n3: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    average: float = 0.0
    max_grad_norm: float | None = None
    weight_decay: float = 0.0
    validate_every: int = 5
    patience: int = 20
    max_skipped: int = 100
    max_seconds: float | None = None
    rho: float | None = None
    sparse: bool | None = None
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_options()
        if self.dim < 1:
            raise ValueError(f"expected dim >= 1, found {self.dim}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"expected a seed from 0 to 2^63 - 1, found {self.seed}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"expected a finite lr > 0, found {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"expected a finite weight_decay >= 0, found {self.weight_decay}")
        _ = self.sampling, self.loss_options, self.training_schedule
        self._check_model()

    def _check_options(self) -> None:
        chosen = recipe(self.optimizer)
        if chosen.passes != "graph":
            raise ValueError(
                f"expected an optimizer of one loss, such as radam or lorentz-sam, found {self.optimizer!r}, "
                "which needs the peer of a graph network"
            )
        known = sorted({*model_options(self.model), *chosen.options})
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise ValueError(
                f"expected options of the model {self.model!r} or the optimizer {self.optimizer!r} "
                f"({', '.join(known) or 'none'}), found {', '.join(unknown)}"
            )
        if self.rho is not None and "rho" in self.options:
            raise ValueError("expected each optimizer option once, found rho among options as well")
        wrong = sorted(set(self.groups) - set(PARTS))
        if wrong:
            raise ValueError(f"expected groups {' and '.join(PARTS)}, found {', '.join(wrong)}")

    def _check_model(self) -> None:
        """Build the smallest model and its optimizer, which refuse options out of range."""
        model, nothing = smallest_model(self.model, self.dim, self.model_options), torch.zeros(1, dtype=torch.long)
        if self.n3:
            factors(model, nothing, nothing, nothing)
        found = self.build_optimizer(model, total_steps=self.epochs)
        for part in PARTS:
            strange = sorted(set(self.groups.get(part, {})) - set(found.defaults))
            if strange:
                takes = ", ".join(name for name in found.defaults if name != "manifold")
                raise ValueError(f"expected options of a parameter group ({takes}), found {', '.join(strange)}")
        if self.sparse and not self._takes_row_sparse:
            raise ValueError(
                "expected an optimizer that takes row-sparse gradients, such as radam, or sparse left open, "
                f"found {self.optimizer!r}"
            )

    def _build(self, groups: Iterable[Any], total_steps: int) -> torch.optim.Optimizer:
        return recipe(self.optimizer).build(
            groups, lr=self.lr, weight_decay=self.weight_decay, total_steps=total_steps, **self.optimizer_options
        )

    def build_model(self, num_entities: int, num_relations: int) -> nn.Module:
        """The model for a graph of that size, with fresh weights."""
        options: dict[str, Any] = {"sparse": self.row_sparse, **self.model_options}
        return build_model(self.model, num_entities, num_relations, self.dim, **options)

    def build_optimizer(self, model: nn.Module, total_steps: int) -> torch.optim.Optimizer:
        """The optimizer over the model's parameters."""
        return self._build(parameter_groups(model, recipe(self.optimizer).base, self.groups), total_steps)

    @property
    def row_sparse(self) -> bool:
        """Whether the entity tables get row-sparse gradients."""
        if self.sparse is not None:
            return self.sparse
        return self.negatives != "all" and self._takes_row_sparse

    @property
    def _takes_row_sparse(self) -> bool:
        return takes_row_sparse(lambda groups: self._build(groups, total_steps=1))

    @property
    def model_options(self) -> dict[str, Any]:
        """The options of the model that were chosen."""
        known = model_options(self.model)
        return {name: value for name, value in self.options.items() if name in known}

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The options of the optimizer that were chosen."""
        known = model_options(self.model)
        others = {name: value for name, value in self.options.items() if name not in known}
        return others if self.rho is None else {"rho": self.rho, **others}

    @property
    def sampling(self) -> Sampling:
        """Batches and negatives."""
        return Sampling(
            self.batch_size, self.negatives, self.num_negatives, self.filter_negatives, self.own_head, self.seed
        )

    @property
    def loss_options(self) -> LossOptions:
        """The loss."""
        return LossOptions(
            self.loss,
            negative_weight=self.negative_weight,
            margin=self.loss_margin,
            temperature=self.adversarial_temperature,
            smoothing=self.label_smoothing,
            scale=self.score_scale,
            n3=self.n3,
        )

    @property
    def training_schedule(self) -> TrainingSchedule:
        """How long to train, and how the learning rate goes."""
        return TrainingSchedule(
            self.epochs,
            self.validate_every,
            self.patience,
            max_seconds=self.max_seconds,
            learning_rate=self.schedule,
            warmup_steps=self.warmup_steps,
            average=self.average,
            max_grad_norm=self.max_grad_norm,
            max_skipped=self.max_skipped,
        )

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Everything that was, or could have been, tuned, with the values in force."""
        return {
            **{name: getattr(self, name) for name in _TUNED},
            **{_LOSS_NAMES.get(name, name): value for name, value in self.loss_options.in_force.items()},
            **model_options(self.model),
            **self.model_options,
            **recipe(self.optimizer).hyperparameters(**self.optimizer_options),
            "sparse": self.row_sparse,
            "groups": {part: dict(options) for part, options in self.groups.items()},
        }

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**asdict(self), "groups": {k: dict(v) for k, v in self.groups.items()}, "options": dict(self.options)}


_LOSS_NAMES = {
    "margin": "loss_margin",
    "temperature": "adversarial_temperature",
    "smoothing": "label_smoothing",
    "scale": "score_scale",
}
