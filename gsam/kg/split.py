"""Models whose tables of entities are split over processes."""

from __future__ import annotations

from torch import nn

from gsam.distributed import Ranks, RowSplit, SplitEmbedding
from gsam.kg.groups import entity_tables
from gsam.kg.scorers import ForwardScorer, scorer


def split_entities(model: nn.Module, ranks: Ranks) -> None:
    """Keep this process's share of the rows of all tables of entities, in place; one process keeps them whole.

    A process then has ``1 / size`` of the embeddings, of their gradients and of what an optimizer made *afterwards*
    keeps of them. :func:`~gsam.kg.train` fetches the rows that a batch needs from the processes that have them, and
    :func:`~gsam.kg.rank` lets each process score the entities that it has. The training is that of whole tables up to
    rounding. :func:`~gsam.distributed.whole_state_dict` brings the rows together again.

    Args:
        model: with the same weights in every process. Every process calls this.
        ranks: the processes.

    Raises:
        ValueError: gradients of the tables are dense, there are more processes than entities, or the model's score is
            no closed form, so that candidates need whole tables.
    """
    if ranks.size == 1:
        return
    if isinstance(scorer(model), ForwardScorer):
        raise ValueError(
            f"expected a model of gsam.kg, or TransE, DistMult, ComplEx or RotatE, found {type(model).__name__}, which "
            "scores pairs one by one, each with rows of several processes"
        )
    split = RowSplit(int(model.num_nodes), ranks)  # type: ignore[arg-type]
    for name, table in entity_tables(model).items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, SplitEmbedding(table, split))
