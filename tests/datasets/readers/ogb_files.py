"""Tiny knowledge graphs in the raw layout of the Open Graph Benchmark."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import torch

Splits = dict[str, dict[str, Any]]
SIZES = {"disease": 4, "drug": 5, "protein": 3}
N, R, K = 12, 3, 4


def untyped(seed: int = 0) -> Splits:
    """Triples of 12 entities, as in ogbl-wikikg2."""
    rng = np.random.default_rng(seed)
    splits: Splits = {}
    for split, count in (("train", 20), ("valid", 5), ("test", 6)):
        numbers = {"head": rng.integers(0, N, count), "tail": rng.integers(0, N, count)}
        splits[split] = {"head": numbers["head"], "relation": np.arange(count) % R, "tail": numbers["tail"]}
        if split != "train":
            splits[split] |= {f"{end}_neg": rng.integers(0, N, (count, K)) for end in numbers}
    return splits


def typed(seed: int = 0) -> Splits:
    """Triples of typed entities, each type numbered from 0, as in ogbl-biokg."""
    rng = np.random.default_rng(seed)
    kinds = list(SIZES)
    splits: Splits = {}
    for split, count in (("train", 20), ("valid", 5), ("test", 6)):
        splits[split] = {"relation": np.arange(count) % R}
        for end in ("head", "tail"):
            chosen = [kinds[i] for i in rng.integers(0, len(kinds), count)]
            limit = np.array([SIZES[kind] for kind in chosen])
            splits[split] |= {end: rng.integers(0, limit), f"{end}_type": chosen}
            if split != "train":
                splits[split][f"{end}_neg"] = rng.integers(0, limit[:, None], (count, K))
    return splits


def table(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


def write_splits(folder: Path, splits: Splits) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, arrays in splits.items():
        torch.save(arrays, folder / f"{split}.pt", pickle_protocol=4)


def write_wikikg2(root: Path, splits: Splits, *, names: bool = True) -> Path:
    folder = root / "ogbl_wikikg2"
    write_splits(folder / "split/time", splits)
    table(folder / "raw/num-node-list.csv.gz", f"{N}\n")
    if names:
        rows = "".join(f"{i},Q{i * i}\n" for i in range(N))
        table(folder / "mapping/nodeidx2entityid.csv.gz", "node idx,entity id\n" + rows)
        rows = "".join(f"{i},P{i}\n" for i in range(R))
        table(folder / "mapping/reltype2relid.csv.gz", "reltype,rel id\n" + rows)
    return folder


def write_biokg(root: Path, splits: Splits, *, names: bool = True) -> Path:
    folder = root / "ogbl_biokg"
    write_splits(folder / "split/random", splits)
    table(folder / "raw/num-node-dict.csv.gz", ",".join(SIZES) + "\n" + ",".join(map(str, SIZES.values())) + "\n")
    if names:
        for kind, size in SIZES.items():
            rows = "".join(f"{i},{kind[:2]}{i}\n" for i in range(size))
            table(folder / f"mapping/{kind}_entidx2name.csv.gz", "ent idx,ent name\n" + rows)
    return folder
