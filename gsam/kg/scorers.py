"""One interface for all scoring models: a score is a query (head, relation) that meets a candidate tail."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gsam.kg._pairing import Parts

_PAIRS = 2**15  # scored at once through a model's forward, which gathers the embeddings of each


@runtime_checkable
class Scorer(Protocol):
    """What :class:`gsam.kg.KGModel` offers; see there. Every part is a tensor of one row per query or candidate."""

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return the parts of B heads [B] and relations [B], with B rows."""

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the parts of tails [n] with n rows, of [B, k] with leading dimensions [B, k], of all N for None."""

    def pairwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B, n] of B queries with n candidates."""

    def pointwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B] or [B, k] of B queries with candidates of their own."""


@runtime_checkable
class HeadScorer(Scorer, Protocol):
    """A scorer that can also be asked for the head."""

    def head_query(self, tail_index: Tensor, rel_type: Tensor) -> Parts:
        """Return parts with B rows whose scores with ``candidates(h)`` are those of the triples (h, r, t)."""


def scorer(model: nn.Module) -> Scorer:
    """Return the model as a :class:`Scorer`.

    A :class:`gsam.kg.KGModel` is one. :class:`~torch_geometric.nn.kge.TransE`, ``DistMult``, ``ComplEx`` and
    ``RotatE`` get closed forms, whose pairwise scores equal ``forward`` up to rounding without a [B, n, d] tensor.
    Any other model, a subclass of those with a ``forward`` of its own included, is scored through ``forward``, which
    is slow: it computes every pair anew.

    Args:
        model: a :class:`torch_geometric.nn.kge.KGEModel`, or a module that is called as one.
    """
    if isinstance(model, Scorer):
        return model
    from gsam.kg.pyg_scorers import CLOSED_FORMS

    closed_form = CLOSED_FORMS.get(type(model).forward)
    return ForwardScorer(model) if closed_form is None else closed_form(model)


class ForwardScorer:
    """Scores of any model that maps heads, relations and tails [B] to scores [B].

    Args:
        model: called with flat indices, at most 32,768 of each at a time.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def query(self, head_index: Tensor, rel_type: Tensor) -> Parts:
        """Return head and relation themselves, [B, 1] each."""
        return head_index.unsqueeze(-1), rel_type.unsqueeze(-1)

    def candidates(self, tail_index: Tensor | None = None) -> Parts:
        """Return the tails themselves, [n, 1] or [B, k, 1]."""
        if tail_index is None:
            tail_index = torch.arange(self.model.num_nodes, device=next(self.model.parameters()).device)
        return (tail_index.unsqueeze(-1),)

    def pairwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores of all pairs, [B, n]."""
        head, relation = query
        return self._scores(head, relation, candidates[0].mT)

    def pointwise(self, query: Parts, candidates: Parts) -> Tensor:
        """Return the scores [B] or [B, k]."""
        (head, relation), (tail,) = query, candidates
        own = tail.dim() > head.dim()
        return self._scores(head, relation, tail.squeeze(-1)) if own else self._scores(head, relation, tail).squeeze(-1)

    def _scores(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """Scores of index tensors that broadcast to [B, n]."""
        shape = torch.broadcast_shapes(head.shape, relation.shape, tail.shape)
        flat = [index.expand(shape).reshape(-1).split(_PAIRS) for index in (head, relation, tail)]
        return torch.cat([self.model(*piece) for piece in zip(*flat, strict=True)]).view(shape)
