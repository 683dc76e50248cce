"""A knowledge-graph run from configuration to results.json, and a finished one opened again."""

from __future__ import annotations

import pickle
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gsam.checkpoints import CHECKPOINTS, Checkpoints
from gsam.distributed import ALONE, Ranks, whole_state_dict
from gsam.environment import environment
from gsam.files import OutputError, atomic_write, read_json, write_json
from gsam.kg.config import KGConfig
from gsam.kg.filters import KnownTails
from gsam.kg.graph_files import load_graph, save_graph
from gsam.kg.groups import entity_tables
from gsam.kg.options import smallest_model
from gsam.kg.ranking import known_triples, rank
from gsam.kg.split import split_entities
from gsam.kg.training import TrainingHistory, train
from gsam.optim import SharpnessAware
from gsam.optim.shards import Shards

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph

OnEpoch = Callable[[TrainingHistory], Any]


class KGRun:
    """A checked configuration on a loaded graph, ready to train.

    Building it builds the model's and the optimizer's smallest versions only; whatever does not fit is refused before
    anything is computed or written.

    Args:
        config: what to run.
        graph: the data.
        device: where to train.
        ranks: the processes that train together. All of them run the same calls and have the same results; the first
            one writes.
        split_tables: whether each process keeps a part of the rows of the entity tables
            (:func:`~gsam.kg.split_entities`); one process keeps them all. The first one needs memory for whole tables
            when the run is written, each one in turn when they are made.

    Raises:
        ValueError: the graph has no validation or test triples, or the tables are to be split and the configuration
            needs whole ones.
    """

    def __init__(
        self,
        config: KGConfig,
        graph: KnowledgeGraph,
        *,
        device: str = "cpu",
        ranks: Ranks = ALONE,
        split_tables: bool = False,
    ) -> None:
        self.config, self.graph, self.device, self.ranks = config, graph, device, ranks
        self.split_tables = split_tables and ranks.size > 1
        if split_tables:
            _check_split(config, ranks)
        self._known: KnownTails | None = None
        for split in ("train", "valid", "test"):
            if not len(graph.split(split)):
                raise ValueError(f"expected {split} triples in {graph.name}, found none")

    @property
    def known(self) -> KnownTails:
        """What rankings leave out, on the device, collected when first asked for."""
        if self._known is None:
            self._known = known_triples(self.graph, self.device)
        return self._known

    def build_model(self) -> nn.Module:
        """The model with the initial weights of the seed, on the device; of split tables the own rows."""
        if self.split_tables:  # and whole ones for a moment
            return self.ranks.in_turn(self._build_model).to(self.device)
        return self._build_model().to(self.device)

    def _build_model(self) -> nn.Module:
        torch.manual_seed(self.config.seed)
        model = self.config.build_model(self.graph.num_entities, self.graph.num_relations)
        if self.split_tables:
            split_entities(model, self.ranks)
        return model

    def about(self) -> dict[str, Any]:
        """What is recorded of the processes; nothing for one."""
        return {**self.ranks.about(), **({"split_tables": True} if self.split_tables else {})}

    def train(
        self, on_epoch: OnEpoch | None = None, checkpoints: Checkpoints | None = None
    ) -> tuple[nn.Module, TrainingHistory]:
        """Train the model, or go on training it; it has the weights of its best validation.

        Raises:
            NonFiniteError: training diverged.
        """
        config, model = self.config, self.build_model()
        steps = -(-2 * len(self.graph.train) // config.batch_size)
        history = train(
            model,
            self.graph,
            config.build_optimizer(model, config.epochs * steps),
            sampling=config.sampling,
            loss=config.loss_options,
            schedule=config.training_schedule,
            known=self.known,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
            ranks=self.ranks,
        )
        return model, history

    def checkpoints(self, folder: Path, every: float = 30.0) -> Checkpoints:
        """Those of this run in a folder."""
        graph = self.graph
        sizes = [graph.num_entities, graph.num_relations, len(graph.train)]
        about = {"config": self.config.to_dict(), "graph": [graph.name, *sizes]}
        return Checkpoints(folder, every=every, about=about, ranks=self.ranks, apart=self.split_tables)

    def record(
        self, folder: Path | None = None, on_epoch: OnEpoch | None = None, *, checkpoint_every: float = 30.0
    ) -> dict[str, Any]:
        """Train, rank, and keep everything in ``folder`` if given; returns the content of its results.json.

        Args:
            folder: gets ``config.json``, ``history.json``, ``model.pt``, the graph (:func:`~gsam.kg.save_graph`) and,
                last, ``results.json``: it says that the run is finished.
            on_epoch: called with the history so far after each epoch.
            checkpoint_every: least seconds between checkpoints in ``folder/checkpoints``, from which a run that was
                stopped goes on; they are deleted when it is finished.
        """
        if folder is None:
            return self.results(*self.train(on_epoch))
        checkpoints = self.checkpoints(folder / CHECKPOINTS, checkpoint_every)
        model, history = self.train(on_epoch, checkpoints)
        results, weights = self.results(model, history), whole_state_dict(model)
        if self.ranks.first:
            save_run(folder, self, weights, history)
            write_json(folder / "results.json", results)
        checkpoints.remove()
        return results

    def results(self, model: nn.Module, history: TrainingHistory) -> dict[str, Any]:
        """The content of results.json: ``test`` and ``valid`` by the standard protocol, ``test_hybonet`` by the other.

        ``test_categories`` has the figures of ``test`` for 1-1, 1-N, N-1 and N-N relations.
        In the protocol ``"hybonet"`` the head itself is no candidate, as in the code published with HyboNet.
        """
        config, graph = self.config, self.graph
        known: dict[str, Any] = {"known": self.known, "ranks": self.ranks}
        started = time.perf_counter()
        test = rank(model, graph, "test", **known)
        seconds = time.perf_counter() - started
        return {
            "dataset": graph.name,
            "model": config.model,
            "optimizer": config.optimizer,
            "seed": config.seed,
            "hyperparameters": config.hyperparameters,
            "num_entities": graph.num_entities,
            "num_relations": graph.num_relations,
            "test": test.metrics(),
            "test_categories": test.per_category(graph),
            "valid": rank(model, graph, "valid", **known).metrics(),
            "protocol": "standard",
            "test_hybonet": rank(model, graph, "test", protocol="hybonet", **known).metrics(),
            "epochs_run": len(history.epoch_seconds),
            "best_epoch": history.epoch[history.best],
            "skipped_steps": history.skipped_steps,
            "epoch_seconds_median": statistics.median(history.epoch_seconds),
            "train_seconds": history.seconds[-1],
            "eval_seconds": seconds,
            "validation_seconds": history.eval_seconds,
            "environment": {**environment(self.device), **self.about()},
        }

    @staticmethod
    def open(folder: str | Path, *, device: str = "cpu") -> OpenedRun:
        """Open a finished run, see :func:`load_run`."""
        return load_run(folder, device=device)


def _check_split(config: KGConfig, ranks: Ranks) -> None:
    """Refuse, before anything is made, what tables that are split cannot have."""
    if not config.row_sparse:
        raise ValueError(
            "expected row-sparse gradients for tables that are split over processes, found dense ones; take an "
            "optimizer that has them, such as radam or lorentz-sam, and negatives 'shared' or 'per-triple'"
        )
    if ranks.ascent == "local":
        raise ValueError("expected ascent 'global' with tables that are split over processes, found 'local'")
    model = smallest_model(config.model, config.dim, config.model_options)
    optimizer = config.build_optimizer(model, total_steps=config.epochs)
    if isinstance(optimizer, SharpnessAware):
        optimizer.set_shards(Shards([table.weight for table in entity_tables(model).values()], torch.clone))


def save_run(folder: Path, run: KGRun, weights: Mapping[str, Tensor], history: TrainingHistory) -> None:
    """Write what :func:`load_run` reads, and the history; the weights are a model's ``state_dict`` on the CPU."""
    write_json(folder / "config.json", run.config.to_dict())
    write_json(folder / "history.json", asdict(history))
    with atomic_write(folder / "model.pt") as file:
        torch.save(dict(weights), file)
    save_graph(run.graph, folder)


@dataclass(frozen=True)
class OpenedRun:
    """A finished run.

    Attributes:
        config: what was run.
        graph: the data it was run on.
        model: with the weights that were kept, in evaluation mode.
        results: the content of its results.json, or ``{}`` if it was not finished.
    """

    config: KGConfig
    graph: KnowledgeGraph
    model: nn.Module
    results: dict[str, Any]


def load_run(folder: str | Path, *, device: str = "cpu") -> OpenedRun:
    """Open a folder that :meth:`KGRun.record` wrote; its model scores bit for bit as it did.

    Args:
        folder: the run.
        device: where the model goes.

    Raises:
        OutputError: a file is missing or broken.
    """
    folder = Path(folder)
    for name in ("config.json", "model.pt"):
        if not (folder / name).is_file():
            raise OutputError(
                f"expected a run of `gsam kg train` in {folder}, found no {name}; check --run, or let the run finish"
            )
    try:
        config = KGConfig(**read_json(folder / "config.json"))
    except (TypeError, ValueError) as error:
        raise OutputError(f"expected the configuration of a run in {folder}/config.json, found {error}") from error
    graph = load_graph(folder)
    model = config.build_model(graph.num_entities, graph.num_relations)
    try:
        model.load_state_dict(torch.load(folder / "model.pt", map_location="cpu", weights_only=True))
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise OutputError(
            f"expected weights of the model {config.model} in {folder}/model.pt, found {error}"
        ) from error
    results = folder / "results.json"
    return OpenedRun(config, graph, model.to(device).eval(), read_json(results) if results.is_file() else {})
