from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gsam.nn import PeerMLP, UnknownLayerError, peer_registry, register_peer, self_loop_peer
from gsam.nn.peer_registry import registered_layers, require_rules, rule_for
from gsam.nn.peers_spectral import gcn
from tests.contracts.peer_contract import CASES


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Registrations made in a test end with it."""
    monkeypatch.setattr(peer_registry, "_RULES", dict(peer_registry._RULES))
    monkeypatch.setattr(peer_registry, "_FOUND", {})


class OwnConv(pyg.MessagePassing):
    """Adds the mean of the neighbours, through a linear map."""

    def __init__(self):
        super().__init__(aggr="mean")
        self.lin = nn.Linear(4, 4)

    def forward(self, x, edge_index):
        return x + self.propagate(edge_index, x=self.lin(x))


class Renamed(pyg.GCNConv):
    """Overrides nothing that computes."""

    def __repr__(self):
        return "renamed"


class OtherMessage(pyg.GCNConv):
    def message(self, x_j, edge_weight):
        return 2 * x_j


class OtherPropagate(pyg.GCNConv):
    def propagate(self, edge_index, **kwargs):
        return 3 * kwargs["x"]


def test_every_registered_pyg_layer_has_a_contract_case():
    layers = {layer for layer in registered_layers() if layer.__module__.startswith("torch_geometric")}
    assert len(layers) >= 20
    assert layers == {case.layer for case in CASES}


def test_unknown_layer_is_named_with_its_path_and_the_way_out():
    model = nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"inner": OwnConv()}))
    with pytest.raises(UnknownLayerError, match=r"OwnConv at '1\.inner'") as error:
        PeerMLP(model)
    assert isinstance(error.value, TypeError)
    assert "from gsam.nn import register_peer, self_loop_peer" in str(error.value)
    assert "register_peer(OwnConv, self_loop_peer)" in str(error.value)
    with pytest.raises(UnknownLayerError, match="the root of the model"):
        PeerMLP(OwnConv())


@pytest.mark.parametrize(
    "layer", [pyg.GINEConv(nn.Linear(4, 4)), pyg.RGCNConv(4, 4, 2), pyg.SuperGATConv(4, 4)], ids=lambda c: str(type(c))
)
def test_layers_that_need_more_than_rows_are_unknown(layer):
    with pytest.raises(UnknownLayerError):
        PeerMLP(layer)


def test_subclass_that_computes_the_same_shares_the_rule():
    assert rule_for(Renamed) is gcn
    conv, x = Renamed(4, 3), torch.randn(5, 4)
    assert torch.allclose(PeerMLP(conv)(x), x @ conv.lin.weight.t() + conv.bias)


@pytest.mark.parametrize(("layer", "method"), [(OtherMessage, "message"), (OtherPropagate, "propagate")])
def test_subclass_that_overrides_is_not_given_the_rule_of_its_parent(layer, method):
    conv = layer(4, 3)
    assert rule_for(layer) is None
    with pytest.raises(UnknownLayerError, match=f"overrides {method} of GCNConv"):
        PeerMLP(conv)
    register_peer(layer, self_loop_peer)
    x, loops = torch.randn(5, 4), torch.arange(5).repeat(2, 1)
    assert torch.equal(PeerMLP(conv)(x), conv(x, loops))


def test_forward_replaced_on_the_instance_is_not_given_the_rule():
    conv = pyg.GCNConv(4, 3)
    conv.forward = lambda x, edge_index: x
    with pytest.raises(UnknownLayerError, match="forward was replaced on the instance"):
        PeerMLP(conv)


def test_decorator_registers_and_returns_the_rule():
    @register_peer(OwnConv)
    def own(conv, x, edge_index=None):
        return x + conv.lin(x)

    conv, x = OwnConv(), torch.randn(5, 4)
    assert rule_for(OwnConv) is own
    assert torch.allclose(PeerMLP(conv)(x), conv(x, torch.arange(5).repeat(2, 1)))


def test_later_registration_replaces_an_earlier_one_and_reaches_existing_peers():
    conv, x = pyg.GCNConv(4, 3), torch.randn(5, 4)
    peer = PeerMLP(conv)
    before = peer(x)
    register_peer(pyg.GCNConv, lambda conv, x, edge_index=None: 2 * gcn(conv, x))
    assert torch.equal(peer(x), 2 * before)


def test_a_module_that_is_no_message_passing_can_be_registered():
    class Dense(nn.Module):
        def forward(self, x, edge_index):
            raise AssertionError("needs a graph")

    register_peer(Dense, lambda layer, x, edge_index: 3 * x)
    x = torch.randn(5, 4)
    assert torch.equal(PeerMLP(Dense())(x), 3 * x)


@pytest.mark.parametrize("layer", [pyg.GCNConv(4, 4), "GCNConv", int])
def test_register_peer_wants_a_layer_class(layer):
    with pytest.raises(TypeError, match="layer class"):
        register_peer(layer, self_loop_peer)


def test_register_peer_wants_a_callable():
    with pytest.raises(TypeError, match="callable rule"):
        register_peer(OwnConv, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts_are_refused():
    with pytest.raises(TypeError, match=r"'0' is compiled by torch.jit.script"):
        require_rules(nn.Sequential(torch.jit.script(nn.Linear(2, 2))))
