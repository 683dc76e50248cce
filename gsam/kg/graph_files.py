"""The graph a run was trained on, kept beside its weights: the user's files may change, names and numbers must not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gsam.files import OutputError, atomic_write, write_json

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph

SPLITS = ("train", "valid", "test")


def save_graph(graph: KnowledgeGraph, folder: Path) -> None:
    """Write a graph to ``graph.json`` and ``triples.npz``.

    The JSON lists ``entities`` and ``relations`` in the order of their numbers (for entities that have numbers as
    names, how many there are); the archive holds ``train``, ``valid`` and ``test`` ``[T, 3]`` and, where the graph has
    them, ``entity_depth`` and ``entity_type``. Official negatives, which can be larger than all else, are not kept.
    """
    arrays = {split: graph.split(split).cpu().numpy().astype(np.int32) for split in SPLITS}
    for name in ("entity_depth", "entity_type"):
        if getattr(graph, name) is not None:
            arrays[name] = getattr(graph, name).cpu().numpy()
    with atomic_write(folder / "triples.npz") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    names = {"entities": _packed(graph.entities), "relations": _packed(graph.relations)}
    about = {"name": graph.name, "notes": list(graph.notes), "type_names": list(graph.type_names)}
    write_json(folder / "graph.json", {**about, **names})


def load_graph(folder: Path) -> KnowledgeGraph:
    """Read what :func:`save_graph` wrote.

    Raises:
        OutputError: a file is missing or broken.
    """
    from gsam.datasets.knowledge_graph import KnowledgeGraph

    try:
        about = json.loads((folder / "graph.json").read_text(encoding="utf-8"))
        with np.load(folder / "triples.npz", allow_pickle=False) as archive:
            arrays = {name: torch.from_numpy(archive[name]).long() for name in archive.files}
        return KnowledgeGraph(
            name=about["name"],
            train=arrays["train"],
            valid=arrays["valid"],
            test=arrays["test"],
            entities=_unpacked(about["entities"]),
            relations=_unpacked(about["relations"]),
            notes=tuple(about["notes"]),
            type_names=tuple(about["type_names"]),
            entity_depth=arrays.get("entity_depth"),
            entity_type=arrays.get("entity_type"),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise OutputError(f"expected the graph of a run in {folder}, found {error!r}; train again") from error


def _packed(names: Sequence[str]) -> list[str] | int:
    from gsam.datasets.names import NumberedNames

    return len(names) if isinstance(names, NumberedNames) else list(names)


def _unpacked(names: list[str] | int) -> Sequence[str]:
    from gsam.datasets.names import NumberedNames

    return NumberedNames(names) if isinstance(names, int) else tuple(names)
