"""Sharpness-aware training of graph and manifold models on PyTorch Geometric and geoopt.

Importing :mod:`gsam` is cheap: each part (``gsam.optim``, ``gsam.nn``, ...) is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_PARTS = (
    *("checkpoints", "cli", "datasets", "distributed", "fewshot", "graphs", "kg", "manifolds", "nn", "nodes", "optim"),
    "report",
)

__all__ = ["__version__", *_PARTS]


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"gsam.{name}")
    raise AttributeError(f"module 'gsam' has no attribute {name!r}; its parts are {', '.join(_PARTS)}")


def __dir__() -> list[str]:
    return sorted(__all__)
