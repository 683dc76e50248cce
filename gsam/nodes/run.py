"""A node-classification run from configuration to results.json."""

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
from gsam.files import atomic_write, write_json
from gsam.nodes.baselines import features_only
from gsam.nodes.config import NodesConfig
from gsam.nodes.graph import NodeGraph
from gsam.nodes.models import build_model, check_edges
from gsam.nodes.scoring import metric_name
from gsam.nodes.splits import node_split
from gsam.nodes.training import EpochHistory, NodeTask, train_nodes
from gsam.optim.recipes import recipe

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset

OnValidation = Callable[[int, EpochHistory], Any]


@dataclass(frozen=True)
class TrainedModel:
    """A model after training on one seed, with the weights of its best validation.

    Attributes:
        state: its weights.
        history: of the training.
        test: score on the test nodes, in percent.
    """

    state: dict[str, Tensor]
    history: EpochHistory
    test: float

    @property
    def val(self) -> float:
        """Score on the validation nodes, in percent."""
        return self.history.val_score[self.history.best]


class NodesRun:
    """A checked configuration on loaded data, ready to run seed by seed.

    Building it draws the splits of all seeds, so whatever does not fit the data is refused before anything is computed
    or written.

    Args:
        config: what to run.
        dataset: the data.
        device: where to train.
        ranks: the processes that train together. All of them run the same calls and have the same results; the first
            one writes.

    Raises:
        NodeSplitError: the data do not allow the splits.
        ValueError: the model needs edges, and there are none.
    """

    def __init__(self, config: NodesConfig, dataset: NodeDataset, *, device: str = "cpu", ranks: Ranks = ALONE) -> None:
        self.config, self.dataset, self.device, self.ranks = config, dataset, device, ranks
        check_edges(config.model, dataset.num_edges)
        self.metric = metric_name(dataset.num_classes)
        self.splits = {seed: node_split(dataset, config.split, seed) for seed in config.seeds}
        self._inputs: NodeGraph | None = None

    @property
    def inputs(self) -> NodeGraph:
        """What the model reads, prepared when first asked for."""
        if self._inputs is None:
            options: dict[str, Any] = {"row_normalize": self.config.row_normalize, "device": self.device}
            self._inputs = NodeGraph.prepare(self.dataset, self.config.model, **options)
        return self._inputs

    def baseline(self, seed: int) -> float:
        """Test score of :func:`~gsam.nodes.features_only` on the split of a seed."""
        return features_only(self.dataset, self.splits[seed])

    def train(
        self, seed: int, on_validation: OnValidation | None = None, checkpoints: Checkpoints | None = None
    ) -> TrainedModel:
        """Train the model on one seed, or go on training it, and test it.

        Raises:
            NonFiniteError: training diverged.
        """
        config, inputs = self.config, self.inputs
        torch.manual_seed(seed)
        model = build_model(
            config.model, inputs.num_features, self.dataset.num_classes, degrees=inputs.degrees, **config.shape
        ).to(self.device)
        task = NodeTask(inputs, self.splits[seed].to(self.device), self.metric, self.ranks)
        history = train_nodes(
            model,
            task,
            config.build_optimizer(model.parameters()),
            recipe(config.optimizer),
            schedule=config.schedule,
            checkpoints=checkpoints,
            on_validation=None if on_validation is None else lambda found: on_validation(seed, found),
        )
        return TrainedModel(model.state_dict(), history, task.score(model, task.split.test))

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
        """Run one seed: train, test, baseline; keep its files in ``folder`` if given.

        While it is trained, its state is kept in ``folder/checkpoints``, at most every ``checkpoint_every`` seconds; a
        seed that was stopped goes on from there.
        """
        kept = None if folder is None else self.checkpoints(seed, folder / CHECKPOINTS, checkpoint_every)
        trained = self.train(seed, on_validation, kept)
        history = trained.history
        record = {
            "seed": seed,
            "split": self.splits[seed].number,
            "test": trained.test,
            "val": trained.val,
            "epochs_run": history.epoch[-1],
            "best_epoch": history.epoch[history.best],
            "train_seconds": history.seconds[-1],
            "skipped_steps": history.skipped_steps,
            "baseline": {"features_only": self.baseline(seed)},
        }
        if folder is not None and self.ranks.first:
            _save(folder, trained)
            write_json(folder / "record.json", record)  # last: it says that the seed is finished
        if kept is not None:
            kept.remove()
        return record

    def results(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The content of results.json from the records of the seeds."""
        mean, interval = mean_ci95([r["test"] for r in records])
        line = mean_ci95([r["baseline"]["features_only"] for r in records])
        epochs, seconds = (sum(r[key] for r in records) for key in ("epochs_run", "train_seconds"))
        return {
            "dataset": self.dataset.name,
            "model": self.config.model,
            "optimizer": self.config.optimizer,
            "metric": self.metric,
            "split": self.config.split,
            "hyperparameters": self.config.hyperparameters,
            "test_mean": mean,
            "test_ci95": interval,
            "seconds_per_epoch": seconds / epochs,
            "train_seconds": seconds,
            "baseline": {"features_only": line[0]},
            "baseline_ci95": {"features_only": line[1]},
            "per_seed": list(records),
            "environment": {**environment(self.device), **self.ranks.about()},
        }


def _save(folder: Path, trained: TrainedModel) -> None:
    write_json(folder / "history.json", asdict(trained.history))
    with atomic_write(folder / "model.pt") as file:
        torch.save({name: value.cpu() for name, value in trained.state.items()}, file)
