"""Knowledge graphs of the Open Graph Benchmark whose entities have types, each type with numbers of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsam.datasets.array_file import Array, parsing
from gsam.datasets.errors import DatasetError
from gsam.datasets.info import DatasetInfo
from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.datasets.readers.ogb_kg import count_relations, graph_of_splits, names_or_numbers, read_splits


def read(folder: Path, entry: DatasetInfo) -> KnowledgeGraph:
    """Return a graph with entities of several types (ogbl-biokg), with the official negatives.

    In the files each type is numbered from 0. Here the types follow each other in the order of ``num-node-dict``, as in
    OGB's own examples: an entity is its number plus the sizes of the types before its own. It is named ``type:name``,
    by the tables in ``mapping`` where these are present, else by its number. Negatives have the type of what they
    replace.

    Raises:
        DatasetError: A missing or broken file, an unknown type, files that do not fit together, or a number out of
            range, with the file.
    """
    counts_file, *parts = (folder / file for file in entry.files)
    sizes = _type_sizes(counts_file)
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    splits = read_splits(parts)
    for path, arrays in zip(parts, splits.values(), strict=True):
        _shift(path, arrays, starts, sizes)
    entities = [
        f"{kind}:{name}"
        for kind, size in sizes.items()
        for name in names_or_numbers(folder / f"mapping/{kind}_entidx2name.csv.gz", size)
    ]
    relations = names_or_numbers(folder / "mapping/relidx2relname.csv.gz", count_relations(splits))
    graph = graph_of_splits(entry.name, splits, tuple(entities), relations)
    types = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    return dataclasses.replace(graph, entity_type=torch.from_numpy(types), type_names=tuple(sizes))


def _type_sizes(path: Path) -> dict[str, int]:
    """Return how many entities each type has, from a table with a heading and one row."""
    import pandas

    with parsing(path):
        table = pandas.read_csv(path)
        if len(table) != 1:
            raise ValueError(f"expected one row with the number of entities of each type, found {len(table)}")
        return {str(kind): int(count) for kind, count in table.iloc[0].items()}


def _shift(path: Path, arrays: dict[str, Any], starts: dict[str, int], sizes: dict[str, int]) -> None:
    """Replace the numbers within a type by those within all entities, in place."""
    for end in ("head", "tail"):
        kinds = arrays.get(f"{end}_type")
        if kinds is None or len(kinds) != len(arrays[end]) or not set(kinds) <= set(starts):
            raise DatasetError(
                f"{path}: expected {end}_type with one of {', '.join(starts)} for each of {len(arrays[end])} triples"
            )
        start, size = (np.fromiter(map(of.__getitem__, kinds), np.int64, len(kinds)) for of in (starts, sizes))
        arrays[end] = _moved(path, end, arrays[end], start, size)
        if f"{end}_neg" in arrays:
            arrays[f"{end}_neg"] = _moved(path, f"{end}_neg", arrays[f"{end}_neg"], start[:, None], size[:, None])


def _moved(path: Path, name: str, numbers: Array, start: Array, size: Array) -> Array:
    if len(numbers) != len(start):
        raise DatasetError(f"{path}: expected {len(start)} rows of {name}, found {len(numbers)}")
    bad = (numbers < 0) | (numbers >= size)
    if bad.any():
        row = int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))
        raise DatasetError(
            f"{path}: {name} of triple {row} is out of range: its type has the numbers 0 to {int(size[row].item()) - 1}"
        )
    numbers += start.astype(numbers.dtype)
    return numbers
