"""The bundled WordNet set: unpacks what :mod:`gsam.datasets.wordnet` packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gsam.datasets.array_file import ArrayFile
from gsam.datasets.edges import undirected
from gsam.datasets.info import DatasetInfo
from gsam.datasets.node_dataset import NodeDataset
from gsam.datasets.wordnet.classes import NUM_NOUN_CLASSES, SPLIT_SIZES
from gsam.datasets.wordnet.pack import text_lines
from gsam.graphs import SparseRows


def read(folder: Path, entry: DatasetInfo) -> NodeDataset:
    """Return the graph with undirected edges, binary features, the published class split ``"wordnet"`` and names.

    Nodes are named as usual for WordNet: first lemma, part of speech, sense number (``dog.n.01``).
    """
    with ArrayFile(folder / entry.files[0]) as arrays:
        vocabulary = text_lines(arrays["vocabulary"])
        source = np.repeat(np.arange(len(arrays["label"])), arrays["edge_count"])
        return NodeDataset(
            name=entry.name,
            edge_index=undirected(source, arrays["edge_target"], len(arrays["label"])),
            features=_features(arrays["word_count"], arrays["word"], len(vocabulary)),
            labels=torch.from_numpy(arrays["label"].astype(np.int64)),
            class_names=tuple(text_lines(arrays["class_name"])),
            class_splits={"wordnet": {part: tuple(arrays[f"split_{part}"].tolist()) for part in SPLIT_SIZES}},
            node_names=_names(arrays),
            feature_names=tuple(vocabulary),
        )


def _features(counts: NDArray[Any], words: NDArray[Any], num_features: int) -> SparseRows:
    rowptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    col = torch.from_numpy(words.astype(np.int64))
    return SparseRows(torch.from_numpy(rowptr), col, torch.ones(len(words)), (len(counts), num_features))


def _names(arrays: ArrayFile) -> tuple[str, ...]:
    lemmas, senses, labels = text_lines(arrays["lemma"]), arrays["sense"].tolist(), arrays["label"].tolist()
    return tuple(
        f"{lemma}.{'n' if label < NUM_NOUN_CLASSES else 'v'}.{sense:02d}"
        for lemma, sense, label in zip(lemmas, senses, labels, strict=True)
    )
