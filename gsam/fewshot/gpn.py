"""GPN: graph prototypical networks."""

from __future__ import annotations

from torch import Tensor, nn

from gsam.fewshot.encoder import EpisodeGCN
from gsam.fewshot.heads import centrality_weights, prototypes, squared_distance_logits
from gsam.fewshot.inputs import EpisodeInputs
from gsam.fewshot.method import FewShotMethod


class GPN(FewShotMethod):
    r"""Graph prototypical network (Ding et al., CIKM 2020, *Few-shot Learning on Attributed Networks*).

    One GCN embeds the nodes, a second one scores them; a class prototype is the sum of its supports weighted by
    :math:`\mathrm{softmax}_k\,\sigma(\log(\mathrm{degree}) \cdot s)`, and a query's logits are minus its squared
    distances to the prototypes. The adjacency is :math:`D^{-1}(A + I)`.

    Where we differ: in the code published with FGSAM the weighted supports are averaged, which divides by ``k_shot``
    once more and draws the prototypes toward 0; here the weights sum to 1. The degree is clamped at 1. The peer MLP
    weights its supports by the same degrees.

    Args:
        in_features: F.
        hidden: width of the layers, 16 in the published recipe.
        dropout: between the layers, in [0, 1).
    """

    def __init__(self, in_features: int, *, hidden: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = EpisodeGCN(in_features, hidden, hidden, branches=2, dropout=dropout)
        self.score = nn.Linear(hidden, 1)

    def logits(self, inputs: EpisodeInputs, *, peer: bool = False) -> Tensor:
        """See :meth:`FewShotMethod.logits`."""
        embedding, valuation = self.encoder(inputs, peer=peer).unbind()
        support, query = inputs.episode.split(embedding)
        n_way, k_shot = support.shape[:2]
        scores = self.score(valuation[: n_way * k_shot]).view(n_way, k_shot)
        weights = centrality_weights(scores, inputs.support_log_degree)
        return squared_distance_logits(query, prototypes(support, weights))
