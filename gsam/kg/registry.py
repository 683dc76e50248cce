"""Knowledge-graph models by name."""

from __future__ import annotations

from collections.abc import Mapping

from torch_geometric.nn.kge import ComplEx, DistMult, KGEModel, RotatE, TransE

from gsam.kg.models import AttH, HyboNet, MuRE, MuRP, RefH, RotH

#: the last four are torch_geometric's own, used as they are
KG_MODELS: Mapping[str, type[KGEModel]] = {
    "hybonet": HyboNet,
    "murp": MuRP,
    "mure": MuRE,
    "roth": RotH,
    "refh": RefH,
    "atth": AttH,
    "transe": TransE,
    "distmult": DistMult,
    "complex": ComplEx,
    "rotate": RotatE,
}
