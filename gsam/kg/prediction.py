"""Which entities complete a triple best: the missing tail or head of a question."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Prediction:
    """An entity that may complete a triple.

    Attributes:
        entity: its name.
        index: its number.
        score: of the triple with it; comparable among answers to one question only.
        rank: its place among the candidates, from 1; of equal scores the lower number comes first.
        known: the splits that have the triple: some of ``"train"``, ``"valid"`` and ``"test"``.
    """

    entity: str
    index: int
    score: float
    rank: int
    known: tuple[str, ...]


@torch.no_grad()
def predict(
    model: nn.Module,
    graph: KnowledgeGraph,
    *,
    relation: str | int,
    head: str | int | None = None,
    tail: str | int | None = None,
    top: int = 10,
    known: bool = False,
) -> list[Prediction]:
    """The entities that complete ``(head, relation, ?)`` or ``(?, relation, tail)`` with the highest scores.

    A model of ``2 R`` relation types is asked for a head as for the tail of the reciprocal relation, one of R relation
    types for the head itself.

    Args:
        model: what :func:`~gsam.kg.scorer` takes, trained on the graph; in evaluation mode meanwhile.
        graph: N entities and R relations.
        relation: name, or number below R.
        head: name or number of the given head.
        tail: name or number of the given tail, in its place.
        top: how many answers, at least 1.
        known: let entities compete that make a triple of training, validation or test, which are left out otherwise.

    Returns:
        At most ``top`` answers, the best first.

    Raises:
        DatasetError: there is no entity or relation of that name; the message lists close ones.
        ValueError: not exactly one of head and tail is given, a number is out of range, ``top`` is below 1, or the
            model has another number of entities or relation types.
        NonFiniteScoreError: a score is NaN or infinite.

    Example:
        >>> run = load_run("runs/wn18rr")
        >>> predict(run.model, run.graph, head="dog.n.01", relation="hypernym", top=3)
    """
    if (head is None) == (tail is None):
        raise ValueError("expected either a head or a tail, the other one being asked for, found both or neither")
    if top < 1:
        raise ValueError(f"expected top >= 1, found {top}")
    asked = _Question(
        model,
        graph,
        _number(head if tail is None else tail, graph.num_entities, graph.entity_index, "entity"),
        _number(relation, graph.num_relations, graph.relation_index, "relation"),
        side=0 if head is None else 2,
    )
    return asked.answers(top, known=known)


@dataclass(frozen=True)
class _Question:
    """One entity and one relation; ``side`` is the column of a triple that is asked for."""

    model: nn.Module
    graph: KnowledgeGraph
    entity: int
    relation: int
    side: int

    def answers(self, top: int, *, known: bool) -> list[Prediction]:
        scores = self._finite_scores().double().cpu()
        true = self._true_answers()
        if not known and true:
            scores[torch.tensor(list(true))] = -torch.inf  # below every finite score
        order = scores.argsort(descending=True, stable=True)[: len(scores) if known else len(scores) - len(true)]
        return [
            Prediction(self.graph.entities[index], index, float(scores[index]), rank, tuple(true.get(index, ())))
            for rank, index in enumerate(order[:top].tolist(), 1)
        ]

    def _true_answers(self) -> dict[int, list[str]]:
        """The splits that have the triple with each entity."""
        found: dict[int, list[str]] = {}
        for split in SPLITS:
            triples = self.graph.split(split)
            rows = (triples[:, 2 - self.side] == self.entity) & (triples[:, 1] == self.relation)
            for index in triples[rows, self.side].unique().tolist():
                found.setdefault(index, []).append(split)
        return found

    def _finite_scores(self) -> Tensor:
        training = self.model.training
        self.model.eval()
        try:
            scores = self._scores()
        finally:
            self.model.train(training)
        if not bool(scores.isfinite().all()):
            from gsam.kg.ranking import NonFiniteScoreError

            raise NonFiniteScoreError("expected finite scores, found NaN or infinity; the model has diverged")
        return scores

    def _scores(self) -> Tensor:
        """The scores [N] of all entities."""
        from gsam.kg.scorers import HeadScorer, scorer

        found, model, relations = scorer(self.model), self.model, self.graph.num_relations
        if model.num_nodes != self.graph.num_entities or model.num_relations not in (relations, 2 * relations):
            raise ValueError(
                f"expected a model of {self.graph.num_entities} entities and {relations} or {2 * relations} relation "
                f"types, found {model.num_nodes} and {model.num_relations}; was it trained on {self.graph.name}?"
            )
        device = next(model.parameters()).device
        entity, relation = (torch.tensor([number], device=device) for number in (self.entity, self.relation))
        if model.num_relations != relations:
            turned, other = getattr(found, "turned", None), relation + relations
            asked, relation = (relation, other) if self.side == 2 else (other, relation)
            if turned is None or not turned[asked]:
                return found.pairwise(found.query(entity, asked), found.candidates())[0]
        elif self.side == 2:
            return found.pairwise(found.query(entity, relation), found.candidates())[0]
        elif isinstance(found, HeadScorer):
            return found.pairwise(found.head_query(entity, relation), found.candidates())[0]
        heads = torch.arange(self.graph.num_entities, device=device)
        return found.pairwise(found.query(heads, relation.expand_as(heads)), found.candidates(entity))[:, 0]


def _number(given: Any, count: int, look_up: Any, what: str) -> int:
    if isinstance(given, str):
        return int(look_up(given))
    if not 0 <= given < count:
        raise ValueError(f"expected a number of an {what} from 0 to {count - 1}, found {given}")
    return int(given)


def open_for_prediction(folder: str | Path) -> tuple[nn.Module, KnowledgeGraph]:
    """The model and the graph of a finished run, without what only training needs.

    The models of this package come without PyTorch Geometric and geoopt, which take seconds to import: they score, and
    are not instances of ``KGEModel``. Those of PyTorch Geometric come as :func:`~gsam.kg.load_run` has them.

    Raises:
        OutputError: a file is missing or broken.
    """
    try:
        found = _scores_only(Path(folder))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError):
        found = None
    if found is None:
        from gsam.kg.run import load_run  # says what is wrong, if something is

        opened = load_run(folder)
        return opened.model, opened.graph
    return found


def _scores_only(folder: Path) -> tuple[nn.Module, KnowledgeGraph] | None:
    """A model's scores and its graph, or ``None`` for a model that has no class without PyTorch Geometric."""
    from gsam.files import read_json
    from gsam.kg.graph_files import load_graph

    config = read_json(folder / "config.json")
    if config["model"] not in _SCORES:
        return None
    module, name = _SCORES[config["model"]]
    kind: Any = getattr(importlib.import_module(f"gsam.kg.{module}"), name)
    graph, takes = load_graph(folder), inspect.signature(kind.__init__).parameters
    options = {key: value for key, value in config["options"].items() if key in takes}
    model = kind(graph.num_entities, 2 * graph.num_relations, config["dim"], **options)
    model.load_state_dict(torch.load(str(folder / "model.pt"), map_location="cpu", weights_only=True, mmap=True))
    return model.eval(), graph


_SCORES = {
    "hybonet": ("hybonet", "HyboNetScores"),
    "murp": ("mur", "MuRPScores"),
    "mure": ("mur", "MuREScores"),
    "roth": ("chami", "RotHScores"),
    "refh": ("chami", "RefHScores"),
    "atth": ("chami", "AttHScores"),
}
