"""Few-shot methods by name."""

from __future__ import annotations

from collections.abc import Mapping

from gsam.fewshot.gpn import GPN
from gsam.fewshot.method import FewShotMethod
from gsam.fewshot.proto_net import ProtoNet

METHODS: Mapping[str, type[FewShotMethod]] = {"gpn": GPN, "proto-net": ProtoNet}
BASELINES = ("sgc-prototype", "linear-probe")


def check_method(name: str) -> str:
    """Return the name of a method or baseline, or refuse it.

    Raises:
        ValueError: there is none of that name.
    """
    known = (*METHODS, *BASELINES)
    if name not in known:
        raise ValueError(f"expected a method among {', '.join(known)}, found {name!r}")
    return name
