"""Whole models: the peer equals the model on the self-loop graph, follows its state, and leaves it alone."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data

from gsam.nn import PeerMLP

B, WIDTH = 9, 6
LOOPS = torch.arange(B).repeat(2, 1)
RING = torch.stack([torch.arange(B), torch.arange(B).roll(1)])
PNA = {"aggregators": ["mean", "std", "max"], "scalers": ["identity", "amplification"], "deg": torch.tensor([0, 4, 5])}


class Net(nn.Module):
    """Written the way users write: functional dropout, a norm, a residual, attributes of layers read in forward."""

    def __init__(self, norm: nn.Module | None = None):
        super().__init__()
        self.conv1 = pyg.GCNConv(WIDTH, 8)
        self.norm = norm or nn.BatchNorm1d(8)
        self.conv2 = pyg.GATConv(8, 4, heads=2, dropout=0.3)
        self.lin = nn.Linear(8, 3)
        self.dropout = 0.4

    def forward(self, x, edge_index):
        x = F.dropout(self.norm(self.conv1(x, edge_index)).relu(), self.dropout, training=self.training)
        x = x + self.conv2(x, edge_index).view(-1, self.conv2.heads * self.conv2.out_channels)
        return self.lin(x)


class OwnNorm(nn.Module):
    """A norm of the user's own whose statistics no list of known norms contains."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(8))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x):
        self.calls += 1
        self.scale.mul_(0.9).add_(x.detach().std(0), alpha=0.1)
        return x / self.scale


class Hetero(nn.Module):
    """HeteroBatchNorm is no torch batch norm, so tricks that look for one miss it."""

    def __init__(self):
        super().__init__()
        self.norm = pyg.HeteroBatchNorm(8, num_types=2)

    def forward(self, x):
        return self.norm(x, torch.arange(x.size(0)) % 2)


def sequential():
    return pyg.Sequential(
        "x, edge_index",
        [
            (nn.Dropout(0.3), "x -> x"),
            (pyg.GCNConv(WIDTH, 8), "x, edge_index -> x1"),
            nn.ReLU(inplace=True),
            (pyg.SAGEConv(8, 8), "x1, edge_index -> x2"),
            (lambda a, b: [a, b], "x1, x2 -> xs"),
            (pyg.JumpingKnowledge("cat"), "xs -> x"),
            nn.Linear(16, 3),
        ],
    )


MODELS = {
    "gcn": lambda: pyg.GCN(WIDTH, 8, 3, 4, dropout=0.5, norm="batch_norm"),
    "gcn-jk-cat": lambda: pyg.GCN(WIDTH, 8, 3, 4, dropout=0.2, norm="layer_norm", jk="cat"),
    "sage-jk-max": lambda: pyg.GraphSAGE(WIDTH, 8, 2, 4, dropout=0.2, act="elu", jk="max", norm="graph_norm"),
    "gin-jk-lstm": lambda: pyg.GIN(WIDTH, 8, 2, 4, dropout=0.2, norm="batch_norm", jk="lstm"),
    "gat": lambda: pyg.GAT(WIDTH, 8, 2, 4, heads=2, dropout=0.5, norm="batch_norm", act_first=True),
    "gatv2-jk-last": lambda: pyg.GAT(WIDTH, 8, 2, 4, v2=True, heads=2, dropout=0.5, jk="last", norm="pair_norm"),
    "pna": lambda: pyg.PNA(WIDTH, 8, 2, 4, norm="batch_norm", dropout=0.2, **PNA),
    "edge-cnn": lambda: pyg.EdgeCNN(WIDTH, 8, 2, 4, norm="instance_norm"),
    "own": Net,
    "own-hetero-norm": lambda: Net(Hetero()),
    "own-norm-of-user": lambda: Net(OwnNorm()),
    "sequential": sequential,
}


def outcome(call, x, model):
    torch.manual_seed(3)
    x = x.clone().requires_grad_()
    out = call(x)
    out.square().sum().backward()
    return [out, x.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", MODELS)
def test_peer_equals_the_model_on_self_loops(name, training):
    torch.manual_seed(0)
    model = MODELS[name]().double().train(training)
    real, x = copy.deepcopy(model), torch.randn(B, WIDTH, dtype=torch.float64)
    fast = outcome(PeerMLP(model), x, model)
    slow = outcome(lambda x: real(x, LOOPS), x, real)
    for found, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_running_statistics_belong_to_the_gnn(name):
    model = MODELS[name]().train()
    before = {n: (b, b.clone(), b.data_ptr()) for n, b in model.named_buffers()}
    x = torch.randn(B, WIDTH)
    PeerMLP(model)(x).sum().backward()
    PeerMLP(model.eval())(x)
    for n, buffer in model.named_buffers():
        assert buffer is before[n][0]
        assert buffer.data_ptr() == before[n][2]
        assert torch.equal(buffer, before[n][1])


def test_most_of_the_models_have_statistics_to_hold():
    assert sum(bool(list(build().buffers())) for build in MODELS.values()) >= 7


def test_batch_norm_uses_the_batch_in_training_and_the_statistics_in_eval():
    model = nn.Sequential(pyg.GCNConv(WIDTH, 8), nn.BatchNorm1d(8, affine=False))
    peer = PeerMLP(model, call=lambda m, x, loops: m[1](m[0](x, loops)))
    out = peer(torch.randn(50, WIDTH))
    assert torch.allclose(out.mean(0), torch.zeros(8), atol=1e-5)
    assert torch.allclose(out.var(0, unbiased=False), torch.ones(8), atol=1e-2)
    model[1].running_mean.fill_(7.0)
    model.eval()
    x = torch.randn(50, WIDTH)
    assert torch.allclose(peer(x), (model[0](x, torch.arange(50).repeat(2, 1)) - 7) / (1 + 1e-5) ** 0.5, atol=1e-5)


def test_the_graph_is_not_seen():
    model = Net().eval()
    x = torch.randn(B, WIDTH)
    rows = PeerMLP(model)(x)
    assert torch.allclose(PeerMLP(model)(x[3:5]), rows[3:5], atol=1e-6)
    assert not torch.allclose(model(x, RING), rows, atol=1e-3)


def test_peer_follows_the_gnn():
    model = Net()
    peer, x = PeerMLP(model), torch.randn(B, WIDTH)
    model.eval()
    assert torch.equal(peer(x), peer(x))
    model.train()
    assert not torch.equal(peer(x), peer(x))
    model.dropout, model.conv2.dropout = 0.0, 0.0
    assert torch.equal(peer(x), peer(x))
    model.double()
    assert peer(x.double()).dtype == torch.float64
    other = Net().double().eval()
    model.load_state_dict(other.state_dict())
    assert torch.equal(peer.eval()(x.double()), PeerMLP(other)(x.double()))
    model.lin = nn.Linear(8, 5).double()
    assert peer(x.double()).shape == (B, 5)


def test_parameters_are_the_gnns_in_order():
    model = Net()
    assert all(a is b for a, b in zip(PeerMLP(model).parameters(), model.parameters(), strict=True))


class Holder(nn.Module):
    def __init__(self, order):
        super().__init__()
        gnn = Net()
        parts = {"gnn": gnn, "peer": PeerMLP(gnn), "head": nn.Linear(3, 2)}
        for name in order:
            setattr(self, name, parts[name])


def test_beside_its_gnn_the_peer_adds_nothing_to_parameters_and_state():
    holder = Holder(["gnn", "peer", "head"])
    assert not [name for name in holder.state_dict() if name.startswith("peer")]
    assert not [name for name, _ in holder.named_parameters() if name.startswith("peer")]
    assert len(list(holder.parameters())) == len(list(Net().parameters())) + 2
    assert not [name for name in holder.state_dict(keep_vars=True) if name.startswith("peer")]


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("order", [["gnn", "peer", "head"], ["peer", "gnn"], ["peer", "head"]], ids="-".join)
def test_checkpoints_load_strictly_however_the_peer_is_held(order, assign):
    torch.manual_seed(0)
    saved, loaded = Holder(order), Holder(order)
    x = torch.randn(B, WIDTH)
    loaded.load_state_dict(copy.deepcopy(saved.state_dict()), strict=True, assign=assign)
    assert torch.equal(loaded.eval().peer(x), saved.eval().peer(x))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), saved.parameters(), strict=True))
    if hasattr(loaded, "gnn"):
        assert loaded.peer.gnn is loaded.gnn
        assert torch.equal(loaded.gnn(x, LOOPS[:, :B]), saved.gnn(x, LOOPS[:, :B]))


def test_a_peer_alone_has_a_full_strict_state():
    saved, loaded = PeerMLP(Net()), PeerMLP(Net())
    state = saved.state_dict()
    assert set(state) == {f"gnn.{name}" for name in Net().state_dict()}
    loaded.load_state_dict(state)
    x = torch.randn(B, WIDTH)
    assert torch.equal(loaded.eval()(x), saved.eval()(x))
    state.popitem()
    with pytest.raises(RuntimeError, match="Missing key"):
        loaded.load_state_dict(state)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_keep_sharing_among_themselves_only(clone):
    holder = Holder(["gnn", "peer", "head"]).eval()
    twin = clone(holder)
    x = torch.randn(B, WIDTH)
    assert twin.peer.gnn is twin.gnn
    assert torch.equal(twin.peer(x), holder.peer(x))
    with torch.no_grad():
        twin.gnn.lin.bias.add_(1)
    assert torch.allclose(twin.peer(x), holder.peer(x) + 1, atol=1e-6)


def test_weights_swapped_by_functional_call_are_used():
    model = Net().eval()
    holder = Holder(["gnn", "peer"]).eval()
    x = torch.randn(B, WIDTH)
    weights = {f"gnn.{name}": value for name, value in model.named_parameters()}
    out = torch.func.functional_call(holder.peer, weights, (x,))
    assert torch.equal(out, PeerMLP(model)(x))
    grads = torch.func.grad(lambda w: torch.func.functional_call(holder.peer, w, (x,)).sum())(weights)
    assert grads["gnn.lin.bias"].tolist() == [B, B, B]


def test_second_derivatives():
    model, x = Net().double().eval(), torch.randn(B, WIDTH, dtype=torch.float64)
    params = list(model.parameters())

    def hvp(call):
        grads = torch.autograd.grad(call(x).square().sum(), params, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in grads), params, allow_unused=True)

    for fast, slow in zip(hvp(PeerMLP(model)), hvp(lambda x: model(x, LOOPS)), strict=True):
        torch.testing.assert_close(torch.zeros(()) if fast is None else fast, torch.zeros(()) if fast is None else slow)


def test_call_runs_models_with_another_signature():
    class OnData(Net):
        def forward(self, data):
            return super().forward(data.x, data.edge_index)

    model, x = OnData().eval(), torch.randn(B, WIDTH)
    peer = PeerMLP(model, call=lambda model, x, loops: model(Data(x=x, edge_index=loops)))
    assert torch.allclose(peer(x), model(Data(x=x, edge_index=LOOPS)), atol=1e-6)


def test_further_arguments_reach_the_model_and_edge_weights_are_ignored():
    model, x = pyg.GCN(WIDTH, 8, 2, 4).eval(), torch.randn(B, WIDTH)
    assert torch.equal(PeerMLP(model)(x, edge_weight=torch.rand(30)), PeerMLP(model)(x))
    with pytest.raises(ValueError, match="GATConv got edge_attr"):
        PeerMLP(pyg.GAT(WIDTH, 8, 2, 4, edge_dim=2))(x, edge_attr=torch.rand(30, 2))


def test_models_that_begin_with_an_embedding_take_indices():
    class Ids(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.conv = nn.Embedding(20, WIDTH), pyg.GCNConv(WIDTH, 3)

        def forward(self, ids, edge_index):
            return self.conv(self.table(ids), edge_index)

    model, ids = Ids(), torch.tensor([3, 17, 3])
    assert torch.allclose(PeerMLP(model)(ids), model(ids, LOOPS[:, :3]), atol=1e-6)


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
@pytest.mark.parametrize("layer", [pyg.GCNConv, pyg.SAGEConv, pyg.GATConv, pyg.GraphConv, pyg.TAGConv])
def test_sparse_rows(layer, layout):
    torch.manual_seed(0)
    conv, x = layer(WIDTH, 4), torch.randn(B, WIDTH).relu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch announces that its CSR tensors are in beta
        sparse = getattr(x, layout)()
    dense_out = PeerMLP(conv)(x)
    dense = torch.autograd.grad(dense_out.square().sum(), list(conv.parameters()))
    sparse_out = PeerMLP(conv)(sparse)
    assert torch.allclose(sparse_out, dense_out, atol=1e-6)
    for a, b in zip(torch.autograd.grad(sparse_out.square().sum(), list(conv.parameters())), dense, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_no_rows():
    assert PeerMLP(Net().eval())(torch.randn(0, WIDTH)).shape == (0, 3)


def test_lazy_layers_may_meet_the_peer_first():
    model = pyg.GCN(-1, 8, 2, 4).eval()
    x = torch.randn(B, WIDTH)
    assert torch.allclose(PeerMLP(model)(x), model(x, LOOPS), atol=1e-6)


def test_wrong_inputs():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module, found function"):
        PeerMLP(lambda x: x)
    with pytest.raises(TypeError, match=r"expected a tensor x .*found tuple"):
        PeerMLP(Net())((torch.ones(2, WIDTH), torch.ones(2, WIDTH)))
    with pytest.raises(ValueError, match=r"found shape \[2, 3, 6\]"):
        PeerMLP(Net())(torch.ones(2, 3, WIDTH))


def test_importing_gsam_alone_does_not_import_pyg():
    import subprocess
    import sys

    code = "import sys, gsam; assert 'torch_geometric' not in sys.modules; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
