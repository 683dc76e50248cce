"""The parameters of a model as an optimizer takes them: by manifold, entities, biases and relations apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from geoopt import Euclidean
from geoopt.optim.mixin import OptimMixin
from torch import Tensor, nn

from gsam.manifolds import manifold_groups
from gsam.optim.riemannian_base import RiemannianOptimizer

PARTS = ("entities", "biases", "relations")


def parameter_groups(
    model: nn.Module, base: type[torch.optim.Optimizer], options: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Parameter groups of a model for an optimizer whose descent step ``base`` makes.

    Args:
        model: its relation parameters have names that begin with ``rel``, as in PyTorch Geometric, and the biases of
            its entities names that end with ``bias``; all others are the entities' embeddings.
        base: Riemannian optimizers get the manifolds. For others every parameter is plain numbers: they step on the
            coordinates of points, which the model's ``constrain`` has to put back.
        options: of the groups of ``"entities"``, ``"biases"`` and ``"relations"``.
    """
    riemannian = issubclass(base, (RiemannianOptimizer, OptimMixin))
    part_of = {id(parameter): _part(name) for name, parameter in model.named_parameters()}
    groups = []
    for found in manifold_groups(model):
        for part in PARTS:
            params = [p for p in found["params"] if part_of[id(p)] == part]
            if params:
                manifold = found["manifold"] if riemannian or found["manifold"] is None else Euclidean(ndim=1)
                groups.append({"params": params, "manifold": manifold, **options.get(part, {})})
    return groups


def entity_tables(model: nn.Module) -> dict[str, nn.Embedding]:
    """The tables with a row for each entity, or for those that this process has, by name."""
    return {
        name: table
        for name, table in model.named_modules()
        if isinstance(table, nn.Embedding) and _part(f"{name}.weight") != "relations"
    }


def _part(name: str) -> str:
    owner = name.split(".")[-2:][0]  # of "node_emb.weight" the table
    if owner.startswith("rel"):
        return "relations"
    return "biases" if owner.endswith("bias") else "entities"


def takes_row_sparse(build: Callable[[Iterable[Tensor]], torch.optim.Optimizer]) -> bool:
    """Whether an optimizer steps on row-sparse gradients, found out by giving it one."""
    table = nn.Embedding(2, 1, sparse=True)
    with torch.no_grad():
        table.weight.fill_(1.0)
    optimizer = build([table.weight])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = table(torch.zeros(1, dtype=torch.long)).square().sum()
        loss.backward()
        return loss

    try:
        with invariants_as_they_are():
            optimizer.step(closure)
    except (RuntimeError, ValueError, NotImplementedError):
        return False
    return True


def invariants_as_they_are() -> AbstractContextManager[Any]:
    """Sparse tensors are checked, or not, as before; said out loud, or some of PyTorch's optimizers warn."""
    checks = torch.sparse.check_sparse_tensor_invariants
    return checks(enable=checks.is_enabled())
