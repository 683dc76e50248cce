"""A second view of a model: the same parameters, its convolutions replaced by their peers, its buffers left alone.

The model itself is never touched, so another thread may run it meanwhile. Modules that hold neither a convolution nor a
buffer (linear layers, dropout, activations) are the very same objects in both views.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gsam.nn.peer_registry import Rule, require_rules, rule_for

_PEER_CLASSES: dict[tuple[type[nn.Module], Rule], type[nn.Module]] = {}


def shadow(model: nn.Module) -> nn.Module:
    """The model with every convolution replaced by its peer, as the model stands now.

    Meant for one pass: building it costs some microseconds per container, and a view made afresh cannot be out of date
    (``train``, ``eval``, ``to``, a changed dropout rate, a replaced layer).

    - ``_parameters`` of each module *is* the original's dictionary: shared weights, also after they are swapped.
    - buffers are copies: a norm in training mode updates the copies, and the originals keep value and storage.
      (Putting values back in place afterwards would instead break the backward pass of batch norm.)
    - what ``forward`` assigns to ``self`` stays on the view.

    Raises:
        UnknownLayerError: a convolution has no registered peer.
    """
    return _view(model, {}, model)


def _view(module: nn.Module, made: dict[int, nn.Module], root: nn.Module) -> nn.Module:
    if not module._modules and not module._buffers and not isinstance(module, MessagePassing):
        return module if rule_for(type(module)) is None else _clone(module, {}, rule_for(type(module)))
    if id(module) not in made:
        made[id(module)] = _fresh_view(module, made, root)
    return made[id(module)]


def _fresh_view(module: nn.Module, made: dict[int, nn.Module], root: nn.Module) -> nn.Module:
    if "_orig_mod" in module._modules:  # torch.compile wraps the module; its compiled code is that of the graph pass
        return _view(module.get_submodule("_orig_mod"), made, root)
    rule = rule_for(type(module))
    if rule is None and isinstance(module, MessagePassing):
        require_rules(root)
    children = {name: c if c is None else _view(c, made, root) for name, c in module._modules.items()}
    same = rule is None and not module._buffers and all(children[n] is c for n, c in module._modules.items())
    return module if same else _clone(module, children, rule)


def _clone(module: nn.Module, children: dict[str, nn.Module | None], rule: Rule | None) -> nn.Module:
    kind = type(module) if rule is None else _peer_class(type(module), rule)
    clone: nn.Module = object.__new__(kind)
    state = clone.__dict__
    state.update(module.__dict__)
    for name, value in module.__dict__.items():
        if type(value) is MethodType and value.__self__ is module:  # PyG's Sequential binds its forward like this
            state[name] = MethodType(value.__func__, clone)
        elif rule is not None and "_cached" in name:  # what PyG layers remember of the graph
            state[name] = None
    state["_modules"] = children
    state["_buffers"] = {name: b.clone() if isinstance(b, Tensor) else b for name, b in module._buffers.items()}
    state["_compiled_call_impl"] = None  # set by module.compile(): bound to the original
    return clone


def _peer_class(kind: type[nn.Module], rule: Rule) -> type[nn.Module]:
    """A subclass of the layer's class whose forward is the rule: user code sees the layer it knows."""
    if (kind, rule) not in _PEER_CLASSES:
        _PEER_CLASSES[kind, rule] = _make_peer_class(kind, rule)
    return _PEER_CLASSES[kind, rule]


def _make_peer_class(kind: type[nn.Module], rule: Rule) -> type[nn.Module]:
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if isinstance(args[0] if args else kwargs.get("x"), (tuple, list)):
            raise TypeError(
                f"{kind.__name__} was called with a pair (x_source, x_target), expected one tensor x [B, F]: a peer "
                "has no second set of nodes; pass PeerMLP a call= that runs the model on one set"
            )
        return rule(self, *args, **kwargs)

    names = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__, "layer_class": kind}
    return type(kind.__name__, (kind,), names)
