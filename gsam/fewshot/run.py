"""A few-shot run from configuration to results.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsam.environment import environment
from gsam.fewshot.baselines import LinearProbe, SGCPrototype, baseline_embedding
from gsam.fewshot.config import FewShotConfig, class_split, samplers
from gsam.fewshot.episodes import Episode, save_episodes
from gsam.fewshot.evaluation import accuracy, evaluate, mean_ci95
from gsam.fewshot.inputs import PreparedGraph
from gsam.fewshot.registry import METHODS
from gsam.fewshot.training import History, meta_train
from gsam.files import atomic_write, write_json
from gsam.optim.recipes import recipe

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset

OnValidation = Callable[[int, History], Any]


@dataclass(frozen=True)
class Trained:
    """A method after training on one seed."""

    state: dict[str, Tensor]
    history: History
    test_accuracy: float


class FewShotRun:
    """A checked configuration on loaded data, ready to run seed by seed.

    Building it draws the splits and the test episodes of all seeds, so whatever does not fit the data is refused before
    anything is computed or written. Runs that share a data set can share ``embedding`` and ``graph``.

    Args:
        config: what to run.
        dataset: the data.
        device: where to train.

    Raises:
        SplitError, EpisodeError: the data do not allow the episodes.
    """

    def __init__(self, config: FewShotConfig, dataset: NodeDataset, *, device: str = "cpu") -> None:
        self.config, self.dataset, self.device = config, dataset, device
        self.samplers = {seed: samplers(config, dataset, seed) for seed in config.seeds}
        self._graph: PreparedGraph | None = None
        self._embedding: Tensor | None = None

    @property
    def graph(self) -> PreparedGraph:
        """The prepared graph of the method."""
        if self._graph is None:
            normalization = METHODS[self.config.method].normalization
            self._graph = PreparedGraph.prepare(self.dataset, normalization=normalization, device=self.device)
        return self._graph

    @property
    def embedding(self) -> Tensor:
        """The training-free embedding of the baselines."""
        if self._embedding is None:
            self._embedding = baseline_embedding(self.dataset)
        return self._embedding

    def share(self, other: FewShotRun) -> FewShotRun:
        """Take over what another run on the same data has computed."""
        if other.dataset is self.dataset:
            self._embedding = other._embedding
            same = self.config.trains and other.config.method == self.config.method and other.device == self.device
            self._graph = other._graph if same else None
        return self

    def test_episodes(self, seed: int) -> list[Episode]:
        """The test tasks of a seed, the same for every method and optimizer."""
        return self.samplers[seed]["test"].take(self.config.test_episodes)

    def baselines(self, seed: int) -> dict[str, float]:
        """Test accuracy of the baselines on the same tasks, in percent."""
        episodes = self.test_episodes(seed)
        return {
            "sgc_prototype": accuracy(SGCPrototype(self.embedding).logits, episodes),
            "linear_probe": accuracy(LinearProbe(self.embedding).logits, episodes),
        }

    def train(self, seed: int, on_validation: OnValidation | None = None) -> Trained:
        """Train the method on one seed and test it."""
        config, chosen = self.config, recipe(self.config.optimizer)
        torch.manual_seed(seed)
        method = METHODS[config.method](self.dataset.num_features, hidden=config.hidden, dropout=config.dropout)
        method.to(self.device)
        history = meta_train(
            method,
            self.graph,
            config.build_optimizer(method.parameters()),
            chosen,
            self.samplers[seed]["train"],
            self.samplers[seed]["valid"].take(config.validation_episodes),
            schedule=config.schedule,
            on_validation=None if on_validation is None else lambda found: on_validation(seed, found),
        )
        return Trained(method.state_dict(), history, evaluate(method, self.graph, self.test_episodes(seed)))

    def record(
        self, seed: int, on_validation: OnValidation | None = None, folder: Path | None = None
    ) -> dict[str, Any]:
        """Run one seed: train, test, baselines; keep its files in ``folder`` if given."""
        baselines = self.baselines(seed)
        if not self.config.trains:
            found = {"test_accuracy": baselines[self.config.method.replace("-", "_")], "val_accuracy": None}
            record = {"seed": seed, **found, "episodes_run": 0, "train_seconds": 0.0, "baseline": baselines}
        else:
            trained = self.train(seed, on_validation)
            record = _trained_record(seed, trained, baselines)
            if folder is not None:
                _save_training(folder, trained)
        if folder is not None:
            save_episodes(folder / "test_episodes.npz", self.test_episodes(seed))
            write_json(folder / "split.json", class_split(self.config, self.dataset, seed).to_dict())
            write_json(folder / "record.json", record)
        return record

    def results(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The content of results.json from the records of the seeds."""
        mean, interval = mean_ci95([r["test_accuracy"] for r in records])
        episodes, seconds = (sum(r[key] for r in records) for key in ("episodes_run", "train_seconds"))
        names = list(records[0]["baseline"])
        lines = {name: mean_ci95([r["baseline"][name] for r in records]) for name in names}
        return {
            "dataset": self.dataset.name,
            "method": self.config.method,
            "optimizer": self.config.optimizer if self.config.trains else None,
            "setting": self.config.setting,
            "hyperparameters": self.config.hyperparameters,
            "accuracy_mean": mean,
            "accuracy_ci95": interval,
            "seconds_per_200_episodes": 200 * seconds / episodes if episodes else 0.0,
            "baseline": {name: line[0] for name, line in lines.items()},
            "baseline_ci95": {name: line[1] for name, line in lines.items()},
            "per_seed": list(records),
            "environment": environment(self.device),
        }


def _trained_record(seed: int, trained: Trained, baselines: dict[str, float]) -> dict[str, Any]:
    history = trained.history
    return {
        "seed": seed,
        "test_accuracy": trained.test_accuracy,
        "val_accuracy": history.val_accuracy[history.best],
        "episodes_run": history.episode[-1],
        "best_episode": history.episode[history.best],
        "train_seconds": history.seconds[-1],
        "skipped_steps": history.skipped_steps,
        "baseline": baselines,
    }


def _save_training(folder: Path, trained: Trained) -> None:
    write_json(folder / "history.json", asdict(trained.history))
    with atomic_write(folder / "model.pt") as file:
        torch.save({name: value.cpu() for name, value in trained.state.items()}, file)
