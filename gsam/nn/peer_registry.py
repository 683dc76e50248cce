"""Which layer has which peer: the table behind :func:`register_peer`, and the error for a layer that is not in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

import torch
from torch import nn
from torch_geometric.nn import MessagePassing

Rule = Callable[..., Any]  # rule(layer, x, *args, **kwargs), the arguments being those of the layer's own forward
_RuleT = TypeVar("_RuleT", bound=Rule)

_RULES: dict[type[nn.Module], Rule] = {}
_FOUND: dict[type[nn.Module], Rule | None] = {}  # what rule_for has looked up since the last registration

# A subclass that defines one of these may compute something else than its parent, so the parent's rule is not its own.
_COMPUTES = {"forward", "message", "aggregate", "update", "message_and_aggregate", "edge_update", "propagate"}


class UnknownLayerError(TypeError):
    """A convolution in the model has no registered peer."""


@overload
def register_peer(layer: type[nn.Module], rule: _RuleT) -> _RuleT: ...
@overload
def register_peer(layer: type[nn.Module]) -> Callable[[_RuleT], _RuleT]: ...
def register_peer(layer: type[nn.Module], rule: Rule | None = None) -> Any:
    """Say what ``layer`` computes for an isolated node with one self-loop of weight 1.

    ``rule(conv, x, *args, **kwargs)`` is called in place of the layer's ``forward`` and with its arguments; ``conv``
    behaves as the layer itself (its parameters *are* the layer's). :func:`gsam.nn.self_loop_peer` is a rule that suits
    every layer and is as slow as the layer. A later registration replaces an earlier one, also gsam's own.

    Subclasses share the rule as long as they override none of ``forward``, ``message``, ``aggregate``, ``update``,
    ``message_and_aggregate``, ``edge_update``, ``propagate``.

    Args:
        layer: the class of the layer, a ``MessagePassing`` or any other module that looks at the graph.
        rule: the peer; when left out, the call is a decorator for it.

    Raises:
        TypeError: ``layer`` is not a module class, or ``rule`` is not callable.

    Example::

        register_peer(MyConv, self_loop_peer)  # right for every layer, as slow as the layer itself

        @register_peer(MyConv)  # fast
        def my_peer(conv, x, edge_index=None):
            return conv.lin(x)
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise TypeError(f"register_peer expected a layer class (a subclass of torch.nn.Module), found {layer!r}")
    if rule is None:
        return lambda decorated: register_peer(layer, decorated)
    if not callable(rule):
        raise TypeError(f"register_peer expected a callable rule(conv, x, ...), found {rule!r}")
    _RULES[layer] = rule
    _FOUND.clear()
    return rule


def registered_layers() -> tuple[type[nn.Module], ...]:
    """The layer classes that have a peer, in order of registration."""
    return tuple(_RULES)


def rule_for(kind: type[nn.Module]) -> Rule | None:
    """The rule of a class: its own, or the nearest registered ancestor's if nothing it computes was overridden."""
    if kind not in _FOUND:
        ancestor, overridden = _ancestor(kind)
        _FOUND[kind] = None if ancestor is None or overridden else _RULES[ancestor]
    return _FOUND[kind]


def require_rules(model: nn.Module) -> None:
    """Raise unless every convolution in ``model`` has a rule.

    Raises:
        UnknownLayerError: names the first layer without one by class and path, and shows how to register it.
        TypeError: a part is compiled by ``torch.jit.script``; its parameters can be neither seen nor shared.
    """
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(f"{_place(path)} is compiled by torch.jit.script, found where PeerMLP needs a plain module")
        patched = vars(module).keys() & _COMPUTES if isinstance(module, MessagePassing) else set()
        if patched or (isinstance(module, MessagePassing) and rule_for(type(module)) is None):
            raise UnknownLayerError(_unknown(type(module), path, patched))


def _ancestor(kind: type) -> tuple[type | None, set[str]]:
    overridden: set[str] = set()
    for base in kind.__mro__:
        if base in _RULES:
            return base, overridden
        overridden |= vars(base).keys() & _COMPUTES - _compiled(base)
    return None, set()


def _compiled(base: type) -> set[str]:
    """``propagate``, if PyG itself put it on the class: it compiles one there and keeps the one it replaces."""
    own = vars(base)
    return {"propagate"} if own.get("_orig_propagate", own.get("propagate")) is not own.get("propagate") else set()


def _unknown(kind: type, path: str, patched: set[str]) -> str:
    name = kind.__name__
    ancestor, overridden = _ancestor(kind)
    if patched:
        why = f"its {_list(patched)} was replaced on the instance"
    elif ancestor is not None:
        parent = ancestor.__name__
        why = f"it overrides {_list(overridden)} of {parent}, so the peer of {parent} is not its own"
    else:
        why = "the layer is not registered"
    return (
        f"PeerMLP knows no peer for {name} at {_place(path)}: {why}. "
        f"Register what it computes for an isolated node with one self-loop; for any layer (as slow as the layer) by\n"
        f"    from gsam.nn import register_peer, self_loop_peer\n"
        f"    register_peer({name}, self_loop_peer)"
    )


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _place(path: str) -> str:
    return f"'{path}'" if path else "the root of the model"
