"""Several processes that train one model together, over ``torch.distributed``.

``torchrun --nproc-per-node 2 -m gsam ...`` starts them. :func:`join` makes one of them a member of the group,
:class:`Ranks` says which one it is, and :class:`Replica` averages the gradients of its copy of the model with those of
the other copies.
"""

from gsam.distributed.ranks import ALONE, ASCENTS, LostProcessError, Ranks, join, leave, own_device
from gsam.distributed.replica import Replica, average_statistics

__all__ = [
    "ALONE",
    "ASCENTS",
    "LostProcessError",
    "Ranks",
    "Replica",
    "average_statistics",
    "join",
    "leave",
    "own_device",
]
