"""The bundled knowledge graphs: unpacks what :mod:`gsam.datasets.wordnet.knowledge_graphs` packed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.array_file import ArrayFile
from gsam.datasets.info import DatasetInfo
from gsam.datasets.knowledge_graph import SPLITS, KnowledgeGraph
from gsam.datasets.wordnet.pack import text_lines


def read(folder: Path, entry: DatasetInfo) -> KnowledgeGraph:
    """Return the graph, its entities named as usual for WordNet: first lemma, part of speech, sense (``dog.n.01``)."""
    with ArrayFile(folder / entry.files[0]) as arrays:
        lemmas, senses = text_lines(arrays["lemma"]), arrays["sense"].tolist()
        train, valid, test = (_triples(arrays, split) for split in SPLITS)
        return KnowledgeGraph(
            name=entry.name,
            train=train,
            valid=valid,
            test=test,
            entities=tuple(f"{lemma}.n.{sense:02d}" for lemma, sense in zip(lemmas, senses, strict=True)),
            relations=tuple(text_lines(arrays["relation"])),
            entity_depth=torch.from_numpy(arrays["depth"].astype(np.int64)) if "depth" in arrays else None,
        )


def _triples(arrays: ArrayFile, split: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(arrays[split].T, dtype=np.int64))
