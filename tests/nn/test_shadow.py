from __future__ import annotations

import copy
import gc
import threading
import weakref
from types import MethodType

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gsam.nn import UnknownLayerError
from gsam.nn.self_loops import self_loops
from gsam.nn.shadow import shadow


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = pyg.GCNConv(4, 8)
        self.norm = pyg.BatchNorm(8)
        self.blocks = nn.ModuleList([pyg.GCNConv(8, 8), nn.Linear(8, 8), pyg.GINConv(nn.Sequential(nn.Linear(8, 3)))])
        self.blocks.append(self.blocks[0])
        self.head = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x, edge_index):
        self.seen = self.norm(self.conv1(x, edge_index)).relu()
        return self.head(self.blocks[2](self.blocks[1](self.blocks[0](self.seen, edge_index)), edge_index))


def test_shadow_shares_parameters_in_order_and_untouched_modules():
    net = Net()
    view = shadow(net)
    assert view is not net
    assert all(a is b for a, b in zip(view.parameters(), net.parameters(), strict=True))
    assert view.head is net.head
    assert view.blocks[1] is net.blocks[1]
    assert view.conv1 is not net.conv1
    assert isinstance(view.conv1, pyg.GCNConv)
    assert view.conv1._parameters is net.conv1._parameters
    assert type(view) is Net


def test_a_layer_used_twice_is_one_layer_in_the_shadow():
    view = shadow(Net())
    assert view.blocks[0] is view.blocks[3]


def test_a_model_without_convolutions_and_buffers_is_its_own_shadow():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    assert shadow(model) is model


def test_buffers_are_copies_with_equal_values():
    net = Net()
    before = {name: (b, b.clone(), b._version) for name, b in net.named_buffers()}
    view = shadow(net.train())
    view(torch.randn(5, 4), self_loops(5))
    moved = dict(view.named_buffers())
    assert set(moved) == set(before)
    for name, (buffer, value, version) in before.items():
        assert moved[name].data_ptr() != buffer.data_ptr()
        assert torch.equal(buffer, value)
        assert buffer._version == version
    assert not torch.equal(moved["norm.module.running_mean"], before["norm.module.running_mean"][1])


def test_what_forward_stores_stays_on_the_shadow():
    net = Net()
    view = shadow(net)
    view(torch.randn(5, 4), self_loops(5))
    assert view.seen.shape == (5, 8)
    assert not hasattr(net, "seen")


def test_sequential_of_pyg_runs_the_replaced_layers():
    calls = []
    conv = pyg.GCNConv(4, 3)
    conv.register_propagate_forward_pre_hook(lambda *_: calls.append("graph"))
    net = pyg.Sequential("x, edge_index", [(conv, "x, edge_index -> x"), nn.ReLU(), nn.Linear(3, 2)])
    pyg.Sequential("x", [(nn.Linear(4, 9), "x -> x")])  # PyG keeps the latest forward on the class, too
    x = torch.randn(5, 4)
    out = shadow(net)(x, self_loops(5))
    assert calls == []
    assert torch.allclose(out, net(x, self_loops(5)), atol=1e-6)
    assert calls == ["graph"]


def test_hooks_of_layers_and_containers_run():
    net, fired = Net(), []
    for module in (net, net.conv1, net.head):
        module.register_forward_hook(lambda m, *_: fired.append(type(m).__name__))
    shadow(net)(torch.randn(5, 4), self_loops(5))
    assert fired == ["GCNConv", "Sequential", "Net"]


def test_parametrized_layers_use_their_parametrization():
    class Double(nn.Module):
        def forward(self, weight):
            return 2 * weight

    conv, x = pyg.GCNConv(4, 3, bias=False), torch.randn(5, 4)
    plain = shadow(conv)(x, None)
    nn.utils.parametrize.register_parametrization(conv.lin, "weight", Double())
    assert torch.allclose(shadow(conv)(x, None), 2 * plain)


def test_spectral_norm_statistics_are_left_alone():
    conv = pyg.GCNConv(4, 3)
    nn.utils.parametrizations.spectral_norm(conv.lin, "weight")
    before = copy.deepcopy(dict(conv.named_buffers()))
    shadow(conv.train())(torch.randn(5, 4), None)
    assert len(before) == 2
    assert all(torch.equal(value, before[name]) for name, value in conv.named_buffers())


def test_a_pair_of_inputs_is_refused():
    conv = pyg.SAGEConv(4, 3)
    x = torch.randn(5, 4)
    with pytest.raises(TypeError, match="SAGEConv was called with a pair"):
        shadow(conv)((x, x[:2]), self_loops(2))
    with pytest.raises(TypeError, match="pair"):
        shadow(conv)(x=(x, x[:2]), edge_index=self_loops(2))


def test_an_unknown_layer_put_in_later_is_named():
    net = Net()
    net.blocks[1] = pyg.GINEConv(nn.Linear(8, 8))
    with pytest.raises(UnknownLayerError, match=r"GINEConv at 'blocks\.1'"):
        shadow(net)


def test_compiled_modules_are_seen_through():
    net, x = Net().eval(), torch.randn(5, 4)
    expected = shadow(net)(x, self_loops(5))
    wrapped = torch.compile(net)
    assert torch.equal(shadow(wrapped)(x, self_loops(5)), expected)
    net.compile()  # in place: kept in an attribute that is bound to the original
    assert torch.equal(shadow(net)(x, self_loops(5)), expected)


def test_the_model_can_run_at_the_same_time_in_another_thread():
    torch.manual_seed(0)
    net = Net().eval()
    x, ring = torch.randn(5, 4), torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    on_graph, alone = net(x, ring), shadow(net)(x, self_loops(5))
    found = []
    thread = threading.Thread(target=lambda: found.extend(torch.equal(net(x, ring), on_graph) for _ in range(50)))
    thread.start()
    same = [torch.equal(shadow(net)(x, self_loops(5)), alone) for _ in range(50)]
    thread.join()
    assert len(found) == 50
    assert all(found)
    assert all(same)


def test_a_shadow_is_freed_at_once():
    """No reference cycles: what a layer stored of the pass must not wait for the garbage collector."""
    net = Net()
    gc.disable()
    try:
        view = shadow(net)
        view(torch.randn(5, 4), self_loops(5))
        watched = [weakref.ref(view), weakref.ref(view.conv1)]
        del view
        assert [ref() for ref in watched] == [None, None]
    finally:
        gc.enable()


def test_a_forward_bound_on_the_instance_runs_on_the_shadow():
    """PyG's Sequential does this where it can import its caller; the bound method would lead back to the original."""
    net = Net().eval()
    expected = shadow(net)(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), self_loops(5))
    net.forward = MethodType(Net.forward, net)
    for conv in (net.conv1, net.blocks[0], net.blocks[2]):
        conv.register_propagate_forward_pre_hook(lambda *_: pytest.fail("ran the original"))
    out = shadow(net)(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), self_loops(5))
    assert torch.equal(out, expected)
