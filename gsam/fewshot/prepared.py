"""What runs on the same data share: prepared graphs and embeddings, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from gsam.fewshot.inputs import PreparedGraph

if TYPE_CHECKING:
    from gsam.datasets import NodeDataset


class PreparedData:
    """A data set on a device, with the graphs and embeddings that methods and baselines ask for.

    Args:
        dataset: the data.
        device: where methods are trained; embeddings of baselines stay on the CPU.
    """

    def __init__(self, dataset: NodeDataset, device: str = "cpu") -> None:
        self.dataset, self.device = dataset, device
        self._graphs: dict[tuple[str, int | None], PreparedGraph] = {}
        self._embeddings: dict[Callable[[NodeDataset], Any], Any] = {}
        self._scores: dict[tuple[object, ...], float] = {}

    def graph(self, normalization: Literal["rw", "gcn"], max_neighbors: int | None = None) -> PreparedGraph:
        """The graph with this normalisation and this bound on the neighbours of a node."""
        key = (normalization, max_neighbors)
        if key not in self._graphs:
            self._graphs[key] = PreparedGraph.prepare(
                self.dataset, normalization=normalization, device=self.device, max_neighbors=max_neighbors
            )
        return self._graphs[key]

    def embedding(self, embed: Callable[[NodeDataset], Any]) -> Any:
        """What ``embed`` makes of the data set, for a baseline."""
        if embed not in self._embeddings:
            self._embeddings[embed] = embed(self.dataset)
        return self._embeddings[embed]

    def score(self, key: tuple[object, ...], compute: Callable[[], float]) -> float:
        """A score that was computed under this key, or else is computed now: baselines on tasks that runs share."""
        if key not in self._scores:
            self._scores[key] = compute()
        return self._scores[key]
