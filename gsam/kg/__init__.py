"""Knowledge graphs: models, training, filtered ranking, prediction and embeddings.

Names are loaded when they are first used: what only answers questions (``gsam kg predict``) need not wait for what
trains.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsam.datasets.knowledge_graph import KnowledgeGraph
    from gsam.kg.config import KGConfig
    from gsam.kg.embed import EMBEDDING_FORMATS, Embeddings, embeddings, save_embeddings
    from gsam.kg.filters import KnownTails
    from gsam.kg.graph_files import load_graph, save_graph
    from gsam.kg.groups import parameter_groups
    from gsam.kg.losses import LOSSES, LossOptions
    from gsam.kg.model import KGModel
    from gsam.kg.models import AttH, HyboNet, HyperbolicIsometry, MuRE, MuRP, RefH, RotH
    from gsam.kg.negatives import NEGATIVES
    from gsam.kg.objective import Objective, Sampling
    from gsam.kg.ogb import ogb_metrics
    from gsam.kg.options import build_model, model_options
    from gsam.kg.prediction import Prediction, predict
    from gsam.kg.presets import PRESETS, configure
    from gsam.kg.ranking import PROTOCOLS, NonFiniteScoreError, RankingProtocol, known_triples, rank
    from gsam.kg.ranks import Ranking, rank_figures
    from gsam.kg.registry import KG_MODELS
    from gsam.kg.relation_categories import CATEGORIES, functional_relations, symmetric_relations, turned_relations
    from gsam.kg.run import KGRun, OpenedRun, load_run
    from gsam.kg.schedule import TrainingSchedule
    from gsam.kg.scorers import ForwardScorer, HeadScorer, Scorer, scorer
    from gsam.kg.split import split_entities
    from gsam.kg.training import TrainingHistory, train
    from gsam.kg.triples import reciprocals, with_reciprocals

__all__ = [
    "CATEGORIES",
    "EMBEDDING_FORMATS",
    "KG_MODELS",
    "LOSSES",
    "NEGATIVES",
    "PRESETS",
    "PROTOCOLS",
    "AttH",
    "Embeddings",
    "ForwardScorer",
    "HeadScorer",
    "HyboNet",
    "HyperbolicIsometry",
    "KGConfig",
    "KGModel",
    "KGRun",
    "KnowledgeGraph",
    "KnownTails",
    "LossOptions",
    "MuRE",
    "MuRP",
    "NonFiniteScoreError",
    "Objective",
    "OpenedRun",
    "Prediction",
    "Ranking",
    "RankingProtocol",
    "RefH",
    "RotH",
    "Sampling",
    "Scorer",
    "TrainingHistory",
    "TrainingSchedule",
    "build_model",
    "configure",
    "embeddings",
    "functional_relations",
    "known_triples",
    "load_graph",
    "load_run",
    "model_options",
    "ogb_metrics",
    "parameter_groups",
    "predict",
    "rank",
    "rank_figures",
    "reciprocals",
    "save_embeddings",
    "save_graph",
    "scorer",
    "split_entities",
    "symmetric_relations",
    "train",
    "turned_relations",
    "with_reciprocals",
]

_NAMES_OF = {
    "config": ("KGConfig",),
    "embed": ("EMBEDDING_FORMATS", "Embeddings", "embeddings", "save_embeddings"),
    "filters": ("KnownTails",),
    "graph_files": ("load_graph", "save_graph"),
    "groups": ("parameter_groups",),
    "losses": ("LOSSES", "LossOptions"),
    "model": ("KGModel",),
    "models": ("AttH", "HyboNet", "HyperbolicIsometry", "MuRE", "MuRP", "RefH", "RotH"),
    "negatives": ("NEGATIVES",),
    "objective": ("Objective", "Sampling"),
    "ogb": ("ogb_metrics",),
    "options": ("build_model", "model_options"),
    "prediction": ("Prediction", "predict"),
    "presets": ("PRESETS", "configure"),
    "ranking": ("PROTOCOLS", "NonFiniteScoreError", "RankingProtocol", "known_triples", "rank"),
    "ranks": ("Ranking", "rank_figures"),
    "registry": ("KG_MODELS",),
    "relation_categories": ("CATEGORIES", "functional_relations", "symmetric_relations", "turned_relations"),
    "run": ("KGRun", "OpenedRun", "load_run"),
    "schedule": ("TrainingSchedule",),
    "scorers": ("ForwardScorer", "HeadScorer", "Scorer", "scorer"),
    "split": ("split_entities",),
    "training": ("TrainingHistory", "train"),
    "triples": ("reciprocals", "with_reciprocals"),
}
_HOME = {name: f"gsam.kg.{module}" for module, names in _NAMES_OF.items() for name in names}
_HOME |= {"KnowledgeGraph": "gsam.datasets.knowledge_graph"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        found = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'gsam.kg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
