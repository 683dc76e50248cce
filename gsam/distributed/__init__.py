"""Several processes that train one model together, over ``torch.distributed``.

``torchrun --nproc-per-node 2 -m gsam ...`` starts them. :func:`join` makes one of them a member of the group,
:class:`Ranks` says which one it is, and :class:`Replica` averages the gradients of its copy of the model with those of
the other copies. Tables that are too large for one process are split over all of them: :class:`SplitEmbedding`.
"""

from gsam.distributed.ranks import ALONE, ASCENTS, LostProcessError, Ranks, join, leave, own_device
from gsam.distributed.replica import Replica, average_statistics
from gsam.distributed.split import RowSplit, SplitEmbedding, row_split, split_tables, whole_state_dict

__all__ = [
    "ALONE",
    "ASCENTS",
    "LostProcessError",
    "Ranks",
    "Replica",
    "RowSplit",
    "SplitEmbedding",
    "average_statistics",
    "join",
    "leave",
    "own_device",
    "row_split",
    "split_tables",
    "whole_state_dict",
]
