"""Which manifold a parameter lives on, and how that survives what replaces parameters."""

from __future__ import annotations

from typing import Any

from geoopt import Euclidean, ManifoldTensor
from geoopt.manifolds.base import Manifold
from torch import Tensor, nn

_RECORDS = "_gsam_manifolds"
_FLAT = Euclidean()


def manifold_of(param: Tensor, default: Manifold | None = None) -> Manifold:
    """The manifold of a ``geoopt.ManifoldTensor`` or ``ManifoldParameter``; of any other tensor ``default``.

    Args:
        param: a parameter.
        default: ``None`` stands for flat space, one ``geoopt.Euclidean()``.
    """
    if isinstance(param, ManifoldTensor):
        return param.manifold
    return _FLAT if default is None else default


def record(module: nn.Module, name: str, manifold: Manifold) -> None:
    """Note on the owning module that its parameter ``name`` lives on ``manifold``.

    A ``ManifoldParameter`` is replaced by a plain one by ``load_state_dict(assign=True)``, by ``to()`` and ``double()``
    under ``torch.__future__.set_overwrite_module_params_on_conversion``, and on the meta device; the note stays with
    the module, is copied and pickled with it, and :func:`manifold_groups` reads it. A learnable manifold should also
    be a submodule, so that its curvature is trained, saved and moved.

    Args:
        module: the module, or one above it.
        name: of the parameter, dotted below ``module`` as in ``named_parameters()``.
        manifold: where the parameter lives.

    Raises:
        KeyError: if there is no such parameter.
        ValueError: if its shape does not fit the manifold.
    """
    path, _, leaf = name.rpartition(".")
    param = dict(module.named_parameters(remove_duplicate=False)).get(name)
    if param is None:
        known = ", ".join(found for found, _ in module.named_parameters()) or "none"
        raise KeyError(
            f"expected the name of a parameter of {type(module).__name__}, found {name!r}; there are: {known}"
        )
    manifold.assert_check_point(param)
    module.get_submodule(path).__dict__.setdefault(_RECORDS, {})[leaf] = manifold


def manifold_groups(module: nn.Module) -> list[dict[str, Any]]:
    """Optimizer parameter groups of a module, one for each manifold.

    Args:
        module: its parameters are taken once each, in the order of ``parameters()``.

    Returns:
        Groups ``{"params": [...], "manifold": M}``. ``M`` is the manifold of a ``ManifoldParameter``, else what was
        recorded (:func:`record`), else ``None``: plain numbers. Parameters of one manifold object share a group.
    """
    groups: dict[int, dict[str, Any]] = {}
    seen: set[int] = set()
    for owner in module.modules():
        records = owner.__dict__.get(_RECORDS, {})
        for name, param in owner.named_parameters(recurse=False):
            if id(param) in seen:
                continue
            seen.add(id(param))
            manifold = _curved(manifold_of(param, records.get(name)))
            groups.setdefault(id(manifold), {"params": [], "manifold": manifold})["params"].append(param)
    return list(groups.values())


def _curved(manifold: Manifold) -> Manifold | None:
    return None if type(manifold) is Euclidean and manifold.ndim == 0 else manifold
