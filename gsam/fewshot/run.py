"""A few-shot run from configuration to results.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gsam.checkpoints import CHECKPOINTS, Checkpoints, about_seed
from gsam.distributed import ALONE, Ranks
from gsam.environment import environment
from gsam.evaluation import mean_ci95
from gsam.fewshot.config import FewShotConfig, class_split, samplers
from gsam.fewshot.episodes import Episode, save_episodes
from gsam.fewshot.evaluation import accuracy, evaluate
from gsam.fewshot.inputs import PreparedGraph
from gsam.fewshot.method import FewShotMethod
from gsam.fewshot.prepared import PreparedData
from gsam.fewshot.registry import BASELINES, LINES, METHODS
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
    anything is computed or written. Runs on the same data share what is computed once by taking the same ``data``.

    Args:
        config: what to run.
        dataset: the data, or a :class:`PreparedData` that other runs use too.
        device: where to train; a :class:`PreparedData` brings its own.
        ranks: the processes that train together. All of them run the same calls and have the same results; the first
            one writes.

    Raises:
        SplitError, EpisodeError: the data do not allow the episodes.
    """

    def __init__(
        self,
        config: FewShotConfig,
        dataset: NodeDataset | PreparedData,
        *,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.data = dataset if isinstance(dataset, PreparedData) else PreparedData(dataset, device)
        self.config, self.dataset, self.device = config, self.data.dataset, self.data.device
        self.samplers = {seed: samplers(config, self.dataset, seed) for seed in config.seeds}

    @property
    def graph(self) -> PreparedGraph:
        """The prepared graph of the method."""
        return self.data.graph(METHODS[self.config.method].normalization, self.config.max_neighbors)

    def test_episodes(self, seed: int) -> list[Episode]:
        """The test tasks of a seed, the same for every method and optimizer."""
        return self.samplers[seed]["test"].take(self.config.test_episodes)

    def validation_episodes(self, seed: int) -> list[Episode]:
        """The tasks of a seed on which everything is chosen."""
        return self.samplers[seed]["valid"].take(self.config.validation_episodes)

    def baselines(self, seed: int) -> dict[str, float]:
        """Test accuracy of the baselines on the same tasks, in percent."""
        return {name.replace("-", "_"): self.baseline(name, seed) for name in LINES}

    def baseline(self, name: str, seed: int) -> float:
        """Test accuracy of one baseline on the tasks of a seed, in percent; computed once for all runs on the data."""
        config = self.config
        key = (name, seed, config.test_episodes, config.validation_episodes, *config.setting.values())
        return self.data.score(key, lambda: self._score_baseline(name, seed))

    def _score_baseline(self, name: str, seed: int) -> float:
        kind = BASELINES[name]
        scorer = kind(self.data.embedding(kind.embed))
        scorer.choose(self.validation_episodes(seed))
        return accuracy(scorer.logits, self.test_episodes(seed))

    def build_method(self, seed: int) -> FewShotMethod:
        """The method with the initial weights of a seed, on the device."""
        config = self.config
        torch.manual_seed(seed)
        method = METHODS[config.method].build(
            self.graph, n_way=config.ways, hidden=config.hidden, dropout=config.dropout, **config.method_options
        )
        return method.to(self.device)

    def train(
        self, seed: int, on_validation: OnValidation | None = None, checkpoints: Checkpoints | None = None
    ) -> Trained:
        """Train the method on one seed, or go on training it, and test it."""
        config, chosen = self.config, recipe(self.config.optimizer)
        method = self.build_method(seed)
        history = meta_train(
            method,
            self.graph,
            config.build_optimizer(method.parameters()),
            chosen,
            self.samplers[seed]["train"],
            self.validation_episodes(seed),
            schedule=config.schedule,
            checkpoints=checkpoints,
            on_validation=None if on_validation is None else lambda found: on_validation(seed, found),
            ranks=self.ranks,
        )
        return Trained(method.state_dict(), history, evaluate(method, self.graph, self.test_episodes(seed)))

    def checkpoints(self, seed: int, folder: Path, every: float = 30.0) -> Checkpoints:
        """Those of a seed in a folder."""
        about = about_seed(self.config.to_dict(), seed, self.dataset)
        return Checkpoints(folder, every=every, about=about, ranks=self.ranks)

    def record(
        self,
        seed: int,
        on_validation: OnValidation | None = None,
        folder: Path | None = None,
        *,
        checkpoint_every: float = 30.0,
    ) -> dict[str, Any]:
        """Run one seed: train, test, baselines; keep its files in ``folder`` if given.

        While it is trained, its state is kept in ``folder/checkpoints``, at most every ``checkpoint_every`` seconds; a
        seed that was stopped goes on from there.
        """
        kept = None if folder is None else self.checkpoints(seed, folder / CHECKPOINTS, checkpoint_every)
        baselines = self.baselines(seed)
        if not self.config.trains:
            name = self.config.method.replace("-", "_")
            scored = baselines[name] if name in baselines else self.baseline(self.config.method, seed)
            found = {"test_accuracy": scored, "val_accuracy": None}
            record = {"seed": seed, **found, "episodes_run": 0, "train_seconds": 0.0, "baseline": baselines}
        else:
            trained = self.train(seed, on_validation, kept)
            record = _trained_record(seed, trained, baselines)
            if folder is not None and self.ranks.first:
                _save_training(folder, trained)
        if folder is not None and self.ranks.first:
            save_episodes(folder / "test_episodes.npz", self.test_episodes(seed))
            write_json(folder / "split.json", class_split(self.config, self.dataset, seed).to_dict())
            write_json(folder / "record.json", record)
        if kept is not None:
            kept.remove()
        return record

    def results(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The content of results.json from the records of the seeds."""
        return summary(self.config, self.dataset.name, records, {**environment(self.device), **self.ranks.about()})


def summary(
    config: FewShotConfig, dataset: str, records: Sequence[dict[str, Any]], environment: dict[str, Any]
) -> dict[str, Any]:
    """The content of results.json from the records of the seeds."""
    mean, interval = mean_ci95([r["test_accuracy"] for r in records])
    episodes, seconds = (sum(r[key] for r in records) for key in ("episodes_run", "train_seconds"))
    names = list(records[0]["baseline"])
    lines = {name: mean_ci95([r["baseline"][name] for r in records]) for name in names}
    return {
        **identity(config, dataset),
        "accuracy_mean": mean,
        "accuracy_ci95": interval,
        "seconds_per_200_episodes": 200 * seconds / episodes if episodes else 0.0,
        "baseline": {name: line[0] for name, line in lines.items()},
        "baseline_ci95": {name: line[1] for name, line in lines.items()},
        "per_seed": list(records),
        "environment": environment,
    }


def identity(config: FewShotConfig, dataset: str) -> dict[str, Any]:
    """What was run, as results.json names it."""
    return {
        "dataset": dataset,
        "method": config.method,
        "optimizer": config.optimizer if config.trains else None,
        "setting": config.setting,
        "hyperparameters": config.hyperparameters,
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
