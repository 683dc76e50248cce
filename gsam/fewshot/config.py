"""The settings of a few-shot run, checked before anything is computed or written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsam.fewshot.episodes import EpisodeSampler
from gsam.fewshot.option_checks import check_method_options
from gsam.fewshot.registry import BASELINES, METHODS, check_method
from gsam.fewshot.splits import PARTS, ClassSplit
from gsam.fewshot.training import Schedule
from gsam.optim.recipes import recipe

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset


@dataclass(frozen=True)
class FewShotConfig:
    """One method, one optimizer, one setting, several seeds.

    The defaults are the recipe published with FGSAM for GPN. Optimizer options left ``None`` take the optimizer's own
    defaults (:data:`gsam.optim.recipes.RECIPES`).

    Attributes:
        dataset: name or file.
        method: one of :data:`gsam.fewshot.registry.METHODS` or a baseline.
        optimizer: one of :data:`gsam.optim.recipes.RECIPES`.
        ways: classes in an episode.
        shots: supports of each class.
        queries: queries of each class.
        split: three counts such as ``"5,5,5"`` (drawn by seed), the name of a published split, or a JSON file.
        seeds: a seed fixes the class split, the initial weights and the episodes.
        episodes: training episodes at most.
        validate_every: episodes between validations.
        validation_episodes: tasks in a validation.
        patience: validations without improvement before training stops.
        max_skipped: steps skipped in a row, because a gradient was not finite, before training fails.
        test_episodes: tasks in the test.
        train_ways: classes in a training episode, at most all base classes are taken; ``None`` for ``ways``.
        train_queries: queries of each class in a training episode; ``None`` for ``queries``.
        max_neighbors: in-edges of a node that a propagation takes, in training, validation and test; ``None`` for all.
        lr: learning rate.
        weight_decay: L2 penalty of the base optimizer.
        hidden: width of the encoder.
        dropout: of the encoder.
        rho: radius of the ascent.
        lam: weight of the GNN's gradient in FGSAM and FGSAM+.
        alpha: weight of the flatness part in FGSAM+.
        k: interval of exact steps in FGSAM+ and LookSAM.
        options: other options of the method (:attr:`FewShotMethod.options`) or of the optimizer, by name.
    """

    dataset: str
    method: str = "gpn"
    optimizer: str = "adam"
    ways: int = 5
    shots: int = 3
    queries: int = 10
    split: str = "5,5,5"
    seeds: tuple[int, ...] = (0,)
    episodes: int = 1000
    validate_every: int = 10
    validation_episodes: int = 20
    patience: int = 10
    max_skipped: int = 100
    test_episodes: int = 100
    train_ways: int | None = None
    train_queries: int | None = None
    max_neighbors: int | None = None
    lr: float = 5e-3
    weight_decay: float = 5e-4
    hidden: int = 16
    dropout: float = 0.2
    rho: float | None = None
    lam: float | None = None
    alpha: float | None = None
    k: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_method(self.method)
        self._check_options()
        recipe(self.optimizer).hyperparameters(**self.optimizer_options)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"expected distinct seeds >= 0, found {','.join(map(str, self.seeds)) or 'none'}")
        if max(self.seeds) >= 2**63:
            raise ValueError(f"expected seeds below 2^63, found {max(self.seeds)}")
        for name in ("ways", "train_ways"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ValueError(f"expected {name} >= 2, found {value}; one class leaves nothing to tell apart")
        for name in (
            "shots",
            "queries",
            "validation_episodes",
            "test_episodes",
            "hidden",
            "train_queries",
            "max_neighbors",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {name} >= 1, found {value}")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"expected a finite lr > 0, found {self.lr}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"expected a finite weight_decay >= 0, found {self.weight_decay}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout in [0, 1), found {self.dropout}")
        _ = self.schedule
        if self.trains:
            check_method_options(METHODS[self.method], self.method_options, n_way=self.ways)
            self.build_optimizer([torch.zeros(1, requires_grad=True)])  # refuses options out of range

    def _check_options(self) -> None:
        known = sorted({*self._known_method_options, *recipe(self.optimizer).options})
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise ValueError(
                f"expected options of the method {self.method!r} or the optimizer {self.optimizer!r} "
                f"({', '.join(known) or 'none'}), found {', '.join(unknown)}"
            )

    def build_optimizer(self, params: Iterable[Tensor]) -> torch.optim.Optimizer:
        """The optimizer over ``params``."""
        return recipe(self.optimizer).build(
            params, lr=self.lr, weight_decay=self.weight_decay, total_steps=self.episodes, **self.optimizer_options
        )

    @property
    def trains(self) -> bool:
        """Whether the method is trained at all."""
        return self.method not in BASELINES

    @property
    def optimizer_options(self) -> dict[str, Any]:
        """The options of the optimizer that were chosen.

        Raises:
            ValueError: one is given twice.
        """
        named = {name: getattr(self, name) for name in ("rho", "lam", "alpha", "k")}
        chosen = {name: value for name, value in named.items() if value is not None}
        others = {name: value for name, value in self.options.items() if name not in self._known_method_options}
        twice = sorted(chosen.keys() & others.keys())
        if twice:
            raise ValueError(f"expected each optimizer option once, found {', '.join(twice)} among options as well")
        return {**chosen, **others}

    @property
    def method_options(self) -> dict[str, Any]:
        """The options of the method, with the values in force."""
        known = self._known_method_options
        return {name: self.options.get(name, default) for name, default in known.items()}

    @property
    def _known_method_options(self) -> Mapping[str, Any]:
        return METHODS[self.method].options if self.trains else {}

    @property
    def schedule(self) -> Schedule:
        """How long to train."""
        return Schedule(self.episodes, self.validate_every, self.patience, self.max_skipped)

    @property
    def setting(self) -> dict[str, Any]:
        """The task, as results.json names it."""
        return {"ways": self.ways, "shots": self.shots, "queries": self.queries, "split": self.split}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Everything that was, or could have been, tuned, with the values in force."""
        if not self.trains:
            return {}
        names = (
            "lr",
            "weight_decay",
            "hidden",
            "dropout",
            "episodes",
            "validate_every",
            "validation_episodes",
            "patience",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "train_ways": self.train_ways or self.ways,
            "train_queries": self.train_queries or self.queries,
            "max_neighbors": self.max_neighbors,
            **self.method_options,
            **recipe(self.optimizer).hyperparameters(**self.optimizer_options),
        }

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**asdict(self), "seeds": list(self.seeds)}


def class_split(config: FewShotConfig, dataset: NodeDataset, seed: int) -> ClassSplit:
    """The class split of a seed.

    Raises:
        SplitError: it is neither three counts, nor a name, nor a file, or it does not fit the data.
    """
    text = config.split
    if Path(text).suffix == ".json":
        split = ClassSplit.from_file(text)
    elif all(part.strip().isdecimal() for part in text.split(",")) and text.count(",") == 2:
        train, valid, test = (int(part) for part in text.split(","))
        split = ClassSplit.random(dataset.num_classes, (train, valid, test), seed)
    else:
        split = ClassSplit.named(dataset.class_splits, text)
    split.check_classes(dataset.num_classes)
    return split


def samplers(config: FewShotConfig, dataset: NodeDataset, seed: int) -> dict[str, EpisodeSampler]:
    """The episode samplers of a seed for the parts of its class split.

    Raises:
        SplitError, EpisodeError: the data do not allow such episodes.
    """
    split = class_split(config, dataset, seed)

    def sampler(number: int, classes: tuple[int, ...], n_way: int, m_query: int) -> EpisodeSampler:
        shape = {"n_way": n_way, "k_shot": config.shots, "m_query": m_query}
        return EpisodeSampler(
            dataset.labels, classes, **shape, seed=(seed, 1 + number), class_names=dataset.class_names
        )

    parts = {
        part: sampler(number, getattr(split, part), config.ways, config.queries) for number, part in enumerate(PARTS)
    }
    if config.train_ways or config.train_queries:
        n_way = min(config.train_ways or config.ways, len(split.train))
        parts["train"] = sampler(0, split.train, n_way, config.train_queries or config.queries)
    return parts
