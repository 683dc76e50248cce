"""Episodes: small classification tasks, drawn by seed, replayable and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch
from torch import Tensor

from gsam.files import atomic_write


class EpisodeError(ValueError):
    """Episodes that cannot be drawn from the data, or a file that holds none."""


@dataclass(frozen=True)
class Episode:
    """One task of ``n_way`` classes.

    Attributes:
        classes: ``[n_way]`` class indices.
        support: ``[n_way, k_shot]`` node indices, labelled.
        query: ``[n_way, m_query]`` node indices, to be classified.
    """

    classes: Tensor
    support: Tensor
    query: Tensor

    @property
    def nodes(self) -> Tensor:
        """All nodes, supports first: ``[n_way * (k_shot + m_query)]``."""
        return torch.cat([self.support.reshape(-1), self.query.reshape(-1)])

    @property
    def targets(self) -> Tensor:
        """Position of each query's class within the episode: ``[n_way * m_query]``."""
        return _positions(*self.query.shape).to(self.query.device)

    @property
    def support_targets(self) -> Tensor:
        """Position of each support's class within the episode: ``[n_way * k_shot]``."""
        return _positions(*self.support.shape).to(self.support.device)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Split rows that follow :attr:`nodes` into supports ``[n_way, k_shot, ...]`` and queries ``[Q, ...]``."""
        n_way, k_shot = self.support.shape
        support, query = rows.split([n_way * k_shot, self.query.numel()])
        return support.view(n_way, k_shot, *rows.shape[1:]), query


@lru_cache(maxsize=64)
def _positions(n_way: int, count: int) -> Tensor:
    """Shared by all episodes of a size, which never change it."""
    return torch.arange(n_way).repeat_interleave(count)


class EpisodeSampler:
    """Draws episode ``i`` as a function of ``(seed, i)`` alone, so that any of them can be drawn again.

    Args:
        labels: ``[N]`` class index of each node; negative means unlabelled.
        classes: the classes to draw from.
        n_way: classes in an episode.
        k_shot: support nodes of each class.
        m_query: query nodes of each class.
        seed: with the index it decides everything; an integer or a sequence of them.
        class_names: for messages.

    Raises:
        EpisodeError: there are fewer classes than ``n_way``, one is negative or stands twice, or a class has fewer
            than ``k_shot + m_query`` nodes.
    """

    def __init__(
        self,
        labels: Tensor,
        classes: Sequence[int],
        *,
        n_way: int,
        k_shot: int,
        m_query: int,
        seed: int | Sequence[int],
        class_names: Sequence[str] = (),
    ) -> None:
        for name, value in (("n_way", n_way), ("k_shot", k_shot), ("m_query", m_query)):
            if value < 1:
                raise EpisodeError(f"expected {name} >= 1, found {value}")
        if n_way > len(classes):
            raise EpisodeError(f"expected at least {n_way} classes for {n_way}-way episodes, found {len(classes)}")
        if len(set(classes)) < len(classes) or min(classes) < 0:
            raise EpisodeError(f"expected distinct classes >= 0, found {list(classes)}")
        self.classes = np.asarray(classes)
        self.n_way, self.k_shot, self.m_query = n_way, k_shot, m_query
        self._entropy = [seed] if isinstance(seed, int) else list(seed)
        self._pools = _pools(labels, classes)
        for index, pool in zip(classes, self._pools, strict=True):
            if len(pool) < k_shot + m_query:
                name = f" ({class_names[index]})" if index < len(class_names) else ""
                raise EpisodeError(
                    f"expected at least {k_shot} + {m_query} nodes in every class, found {len(pool)} in class "
                    f"{index}{name}; choose fewer shots or queries, or another class split"
                )

    def episode(self, index: int) -> Episode:
        """Episode number ``index`` >= 0."""
        rng = np.random.default_rng([*self._entropy, index])
        chosen = rng.choice(len(self.classes), self.n_way, replace=False)
        size = self.k_shot + self.m_query
        nodes = np.stack([self._pools[c][rng.choice(len(self._pools[c]), size, replace=False)] for c in chosen])
        drawn = torch.from_numpy(nodes)
        return Episode(torch.from_numpy(self.classes[chosen]), drawn[:, : self.k_shot], drawn[:, self.k_shot :])

    def take(self, count: int, start: int = 0) -> list[Episode]:
        """Episodes ``start`` to ``start + count - 1``."""
        return [self.episode(index) for index in range(start, start + count)]


def _pools(labels: Tensor, classes: Sequence[int]) -> list[np.ndarray]:
    array = labels.cpu().numpy()
    order = np.argsort(array, kind="stable")
    starts = np.searchsorted(array[order], classes, side="left")
    ends = np.searchsorted(array[order], classes, side="right")
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def save_episodes(path: str | Path, episodes: Sequence[Episode]) -> None:
    """Write equally sized episodes to an ``.npz`` file, atomically."""
    arrays = {
        field: np.stack([getattr(episode, field).cpu().numpy() for episode in episodes])
        for field in ("classes", "support", "query")
    }
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_episodes(path: str | Path) -> list[Episode]:
    """Read what :func:`save_episodes` wrote.

    Raises:
        EpisodeError: the file is missing, broken, or holds other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [torch.from_numpy(file[field]) for field in ("classes", "support", "query")]
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile, ZlibError) as error:
        raise EpisodeError(f"expected classes, support and query in the file {path}, found {error!r}") from error
    classes, support, query = arrays
    same = classes.dim() == 2 and support.dim() == query.dim() == 3
    if not same or not classes.shape == support.shape[:2] == query.shape[:2]:
        found = ", ".join(str(list(array.shape)) for array in arrays)
        raise EpisodeError(f"expected [episodes, n_way] classes, supports and queries in {path}, found shapes {found}")
    if any(array.dtype != torch.int64 for array in arrays):
        raise EpisodeError(f"expected int64 indices in {path}, found {[str(array.dtype) for array in arrays]}")
    return [Episode(*parts) for parts in zip(*arrays, strict=True)]
