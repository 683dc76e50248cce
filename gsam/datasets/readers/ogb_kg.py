"""Knowledge graphs of the Open Graph Benchmark from its own raw files, without its package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsam.datasets.array_file import Array
from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo
from gsam.datasets.knowledge_graph import SPLITS, KnowledgeGraph, OfficialNegatives
from gsam.datasets.names import NumberedNames
from gsam.datasets.readers.delimited import read_names, read_numbers
from gsam.datasets.readers.safe_pickle import load_torch_arrays
from gsam.datasets.triple_checks import check_negatives

_ENDS = ("head", "tail")


def read(folder: Path, entry: DatasetInfo) -> KnowledgeGraph:
    """Return a graph whose entities are of one kind (ogbl-wikikg2), with the official negatives.

    Entities and relations have the numbers of the files, and are named by the tables in ``mapping`` where these are
    present, else by their numbers.

    Raises:
        DatasetError: A missing or broken file, files that do not fit together, or a number out of range, with the
            file.
    """
    counts, *parts = (folder / file for file in entry.files)
    num_entities = int(read_numbers(counts, np.int64, columns=1, rows=1)[0, 0])
    splits = read_splits(parts)
    entity_table, relation_table = (folder / file for file in entry.optional_files)
    entities = names_or_numbers(entity_table, num_entities)
    return graph_of_splits(entry.name, splits, entities, names_or_numbers(relation_table, count_relations(splits)))


def read_splits(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return what the three ``.pt`` files hold, by split.

    Raises:
        DatasetError: A broken file, or one without ``head``, ``relation`` and ``tail`` of one length.
    """
    splits = {}
    for split, path in zip(SPLITS, paths, strict=True):
        found = load_torch_arrays(path)
        if not isinstance(found, dict) or not {"head", "relation", "tail"} <= set(found):
            raise DatasetError(f"{path}: expected a dict with arrays head, relation and tail, found {_shape(found)}")
        columns = [np.asarray(found[name]) for name in ("head", "relation", "tail")]
        if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1 or columns[0].dtype.kind not in "iu":
            raise DatasetError(f"{path}: expected head, relation and tail as whole numbers [T], found {_shape(found)}")
        splits[split] = found
    return splits


def graph_of_splits(
    name: str, splits: Mapping[str, dict[str, Any]], entities: Sequence[str], relations: Sequence[str]
) -> KnowledgeGraph:
    """Return the graph of the arrays read, checked. The negatives are taken out of ``splits``.

    Raises:
        DatasetError: A number out of range, negatives of another length than their triples, or no training triple.
    """
    train, valid, test = (_triples(splits[split]) for split in SPLITS)
    negatives = {split: _negatives(arrays) for split, arrays in splits.items() if "head_neg" in arrays}
    graph = KnowledgeGraph(name, train, valid, test, entities, relations, negatives=negatives).validate()
    check_negatives(graph)
    return graph


def names_or_numbers(path: Path, count: int) -> Sequence[str]:
    """Return the names in a table of ``mapping``, or numbers if it is not there.

    Raises:
        DatasetError: A broken table, or one with another number of rows than ``count``.
    """
    if not path.is_file():
        return NumberedNames(count)
    names = read_names(path)
    if len(names) != count:
        raise DatasetError(f"{path}: expected {count:,} names, found {len(names):,}; it may belong to another data set")
    return names


def count_relations(splits: Mapping[str, Mapping[str, Any]]) -> int:
    """Return R = the largest relation number of all splits + 1."""
    return max((int(np.max(arrays["relation"], initial=-1)) for arrays in splits.values()), default=-1) + 1


def _triples(arrays: Mapping[str, Any]) -> Tensor:
    columns = [np.asarray(arrays[name], dtype=np.int64) for name in ("head", "relation", "tail")]
    return torch.from_numpy(np.stack(columns, axis=1))


def _negatives(arrays: dict[str, Any]) -> OfficialNegatives:
    """Take the negatives out of the arrays: there are gigabytes of them, so none is held twice."""
    return OfficialNegatives(*(torch.from_numpy(_compact(np.asarray(arrays.pop(f"{end}_neg")))) for end in _ENDS))


def _compact(numbers: Array) -> Array:
    """Return whole numbers as int32 if they fit."""
    limits = np.iinfo(np.int32)
    if numbers.dtype.kind in "iu" and limits.min <= numbers.min(initial=0) <= numbers.max(initial=0) <= limits.max:
        return numbers.astype(np.int32, copy=False)
    return numbers


def _shape(found: Any) -> str:
    if not isinstance(found, dict):
        return type(found).__name__
    return ", ".join(f"{key} {_describe(value)}" for key, value in found.items()) or "an empty one"


def _describe(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
