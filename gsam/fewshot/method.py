"""The interface of a few-shot method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from gsam.fewshot.inputs import EpisodeInputs


class FewShotMethod(nn.Module, ABC):
    """A model that scores the queries of an episode; to write one, implement :meth:`logits`."""

    #: how the adjacency is normalised in the graphs given to this method: "rw" or "gcn"
    normalization: Literal["rw", "gcn"] = "rw"

    @abstractmethod
    def logits(self, inputs: EpisodeInputs, *, peer: bool = False) -> Tensor:
        """Scores of the queries for the episode's classes, ``[n_way * m_query, n_way]``, higher is better.

        Args:
            inputs: the episode on its graph.
            peer: evaluate the weight-sharing MLP, which reads the features of the episode's own nodes and no edges.
        """

    def loss(self, inputs: EpisodeInputs, *, peer: bool = False) -> Tensor:
        """The training loss, a mean over the queries; cross entropy unless overridden."""
        return F.cross_entropy(self.logits(inputs, peer=peer), inputs.targets)
