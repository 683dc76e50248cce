from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch_geometric.nn import GCN

from gsam.checkpoints import Checkpoints
from gsam.datasets import NodeDataset
from gsam.fewshot import NonFiniteError
from gsam.graphs import Adjacency, SparseRows
from gsam.nodes import (
    EpochHistory,
    EpochSchedule,
    NodeGraph,
    NodeTask,
    apply_model,
    build_model,
    node_split,
    train_nodes,
    training,
)
from gsam.optim import FGSAM, SAM
from gsam.optim.recipes import RECIPES
from tests.resume import assert_resumes

State = dict[str, Tensor]


def task_on(data: NodeDataset, name: str = "gcn", metric: str = "accuracy") -> NodeTask:
    return NodeTask(NodeGraph.prepare(data, name), node_split(data, "published", 0), metric)


def model_for(task: NodeTask, name: str = "gcn", *, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    classes = int(task.inputs.labels.max()) + 1
    options = {"hidden": 16, "dropout": 0.3, "degrees": task.inputs.degrees, **options}
    model = build_model(name, task.inputs.num_features, classes, **options)
    return model.to(task.inputs.features.dtype)


def run(task: NodeTask, model: nn.Module, name: str = "adam", **schedule: int) -> EpochHistory:
    options: Any = {"lr": 0.01, "weight_decay": 5e-4, "total_steps": schedule.get("epochs", 200)}
    optimizer = RECIPES[name].build(model.parameters(), **options)
    return train_nodes(model, task, optimizer, RECIPES[name], schedule=EpochSchedule(**schedule))


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Script:
    """Stands in for ``NodeTask.score``: gives scripted scores and keeps the weights it saw."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.seen: list[State] = []

    def __call__(self, model: nn.Module, nodes: Tensor) -> float:
        assert model.training
        self.seen.append(copy.deepcopy(model.state_dict()))
        return self.scores[len(self.seen) - 1]


def naive(data: NodeDataset, start: State, name: str, epochs: int) -> State:
    """PyG's GCN on the edge index, all nodes, a loop by hand; the peer is an MLP written out."""
    gnn = GCN(24, 16, 2, 9).double()
    gnn.load_state_dict(start)
    x, y, train = data.features.to_dense(), data.labels, node_split(data, "published", 0).train
    options: Any = {"lr": 0.01, "weight_decay": 5e-4}
    wrapper = {"sam": SAM, "fgsam": FGSAM}.get(name)
    optimizer: Any = (
        wrapper(gnn.parameters(), torch.optim.Adam, rho=0.05, **options)
        if wrapper
        else torch.optim.Adam(gnn.parameters(), **options)
    )

    def closure(graph: bool = True) -> Tensor:
        optimizer.zero_grad()
        if graph:
            out = gnn(x, data.edge_index)[train]
        else:
            first, second = gnn.convs
            hidden = (x[train] @ first.lin.weight.T + first.bias).relu()
            out = hidden @ second.lin.weight.T + second.bias
        loss = -out.log_softmax(1)[torch.arange(len(train)), y[train]].mean()
        loss.backward()
        return loss

    for _ in range(epochs):
        optimizer.step(closure, lambda: closure(graph=False)) if name == "fgsam" else optimizer.step(closure)
    return gnn.state_dict()


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("name", ["adam", "sam", "fgsam"])
def test_equals_a_loop_by_hand(exact: NodeDataset, name: str, epochs: int) -> None:
    task = task_on(exact)
    model = model_for(task, dropout=0.0)
    start = copy.deepcopy(model.state_dict())
    task.score = Script([float(i) for i in range(epochs)])  # type: ignore[method-assign]
    run(task, model, name, epochs=epochs)
    for key, value in naive(exact, start, name, epochs).items():
        assert_close(model.state_dict()[key], value, rtol=1e-7, atol=1e-9)
    assert not same(start, model.state_dict())


def test_only_training_labels_are_read(data: NodeDataset) -> None:
    """Other labels change no weight, though they change scores (and which weights are kept)."""
    found = []
    for labels in (data.labels, torch.where(data.train_mask[:, 0], data.labels, 0)):  # type: ignore[index]
        task = task_on(data)
        task.inputs.labels.copy_(labels)
        task.score = Script([1.0, 2.0, 3.0])  # type: ignore[method-assign]
        model = model_for(task)
        run(task, model, "fgsam", epochs=3)
        found.append(model.state_dict())
    assert same(*found)


@pytest.mark.parametrize(
    ("scores", "patience", "ran", "best"),
    [
        ([50, 60, 60, 55, 58, 99], 3, 5, 1),  # a tie is no improvement, and the first of the best counts
        ([50, 60, 60, 61, 58, 59, 60], 3, 7, 3),
        ([50, 40, 40], 1, 2, 0),
        ([10, 20, 30, 40, 50, 60, 70, 80], 1, 8, 7),
        ([80, 70, 60, 50, 40, 30, 20, 10], 20, 8, 0),
    ],
)
def test_early_stop_and_best_weights(
    data: NodeDataset, scores: list[float], patience: int, ran: int, best: int
) -> None:
    task, script = task_on(data), Script(scores)
    task.score = script  # type: ignore[method-assign]
    model = model_for(task)
    history = run(task, model, epochs=3 * len(scores), validate_every=3, patience=patience)
    assert history.val_score == scores[:ran]
    assert history.best == best
    assert same(model.state_dict(), script.seen[best])
    assert not any(same(model.state_dict(), seen) for i, seen in enumerate(script.seen) if i != best)
    assert not model.training
    assert history.epoch == [3 * (i + 1) for i in range(ran)]
    assert len(history.seconds) == len(history.loss) == ran


@pytest.mark.parametrize(("epochs", "every", "expected"), [(8, 3, [3, 6, 8]), (2, 5, [2]), (3, 1, [1, 2, 3])])
def test_last_epoch_is_always_validated(data: NodeDataset, epochs: int, every: int, expected: list[int]) -> None:
    task = task_on(data)
    assert run(task, model_for(task), epochs=epochs, validate_every=every).epoch == expected


@pytest.mark.parametrize("name", ["gcn", "gat"])
def test_score_by_hand_and_mode_kept(exact: NodeDataset, name: str) -> None:
    task = task_on(exact, name)
    model = model_for(task, name, dropout=0.5)
    model.train()
    found = task.score(model, task.split.val)
    assert model.training
    model.eval()
    guess = apply_model(model, exact.features.to_dense(), exact.edge_index).argmax(1)
    right = [int(guess[i] == exact.labels[i]) for i in task.split.val.tolist()]
    assert found == pytest.approx(100 * sum(right) / len(right))
    assert not model.training


def test_history_has_the_score_of_the_kept_weights(binary: NodeDataset) -> None:
    task = task_on(binary, metric="roc_auc")
    model = model_for(task)
    history = run(task, model, epochs=12)
    assert task.score(model, task.split.val) == history.val_score[history.best] == max(history.val_score)


def test_losses_by_hand(data: NodeDataset) -> None:
    task = task_on(data)
    model, twin = model_for(task, dropout=0.0), model_for(task, dropout=0.0)
    history = run(task, model, epochs=5, validate_every=3)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01, weight_decay=5e-4, fused=True)
    losses, train = [], task.split.train
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.cross_entropy(task.inputs.logits(twin)[train], data.labels[train])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert history.loss == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 2])


def test_looking_does_not_change_the_training(data: NodeDataset) -> None:
    seen = []
    for every in (1, 6):
        task = task_on(data)
        script = Script([float(i) for i in range(6)])
        task.score = script  # type: ignore[method-assign]
        run(task, model_for(task), "sam", epochs=6, validate_every=every)
        seen.append(script.seen[-1])
    assert same(*seen)


@pytest.mark.parametrize("name", RECIPES)
def test_every_optimizer_is_deterministic_and_learns(data: NodeDataset, name: str) -> None:
    task = task_on(data)
    found = []
    for seed in (0, 0, 1):
        model = model_for(task, seed=seed)
        history = run(task, model, name, epochs=8, validate_every=4)
        found.append((model.state_dict(), history.loss))
    assert same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert not same(found[0][0], found[2][0])
    assert found[0][1][-1] < found[0][1][0]


@pytest.mark.parametrize("name", ["gcn", "sage", "gin", "gat", "gatv2", "pna", "mlp"])
def test_every_model_fits_its_training_nodes(data: NodeDataset, name: str) -> None:
    """Chance is a ninth."""
    task = task_on(data, name)
    model = model_for(task, name, dropout=0.0)
    run(task, model, "fgsam", epochs=60, validate_every=20)
    assert task.score(model, task.split.train) > 60


PASSES = {"adam": [["graph"]], "sam": [["graph"] * 2], "fgsam": [["graph", "peer"]], "peer-mlp": [["peer"]]}
PASSES["fgsam+"] = [["graph", "peer", "peer"], *[["peer"]] * 4]


@pytest.mark.parametrize("name", PASSES)
def test_passes_of_an_epoch(data: NodeDataset, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Which passes an epoch makes; those of the peer multiply by no adjacency."""
    task = task_on(data)
    model = model_for(task)
    optimizer = RECIPES[name].build(model.parameters(), lr=0.01)
    step = task.step(model, optimizer, RECIPES[name])
    calls: list[str] = []
    products = [0]
    real_matmul, real_loss = Adjacency.matmul, F.cross_entropy

    def matmul(self: Adjacency, h: Tensor) -> Tensor:
        products[0] += 1
        return real_matmul(self, h)

    def loss(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
        calls.append("graph" if products[0] else "peer")
        assert products[0] in (0, 2)  # a product for each layer
        products[0] = 0
        assert torch.equal(targets, data.labels[task.split.train])
        return real_loss(logits, targets, reduction=reduction)

    monkeypatch.setattr(Adjacency, "matmul", matmul)
    monkeypatch.setattr(training.F, "cross_entropy", loss)
    for number in range(5):
        calls.clear()
        step()
        assert calls == PASSES[name][number % len(PASSES[name])]


def test_time_is_that_of_steps_alone(data: NodeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only moves when something is done: a second a pass, a thousand a validation."""
    now = [0.0]

    def taking(seconds: float, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            now[0] += seconds
            return function(*args, **kwargs)

        return call

    task = task_on(data)
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(training.F, "cross_entropy", taking(1, F.cross_entropy))
    task.score = taking(1000, task.score)  # type: ignore[method-assign]
    model, recipe = model_for(task), RECIPES["sam"]
    history = train_nodes(
        model,
        task,
        recipe.build(model.parameters(), lr=0.01),
        recipe,
        schedule=EpochSchedule(5, 2),
        on_validation=taking(5000, lambda _: None),
    )
    assert history.seconds == [4.0, 8.0, 10.0]


def test_skipped_steps_are_counted_and_divergence_is_reported(
    data: NodeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, calls, real = task_on(data), [0], F.cross_entropy
    bad: set[int] = {2, 7}  # first pass of epoch 1, whose second never runs, and of epoch 4

    def spoilt(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
        calls[0] += 1
        return real(logits, targets, reduction=reduction) * (float("nan") if calls[0] - 1 in bad else 1.0)

    monkeypatch.setattr(training.F, "cross_entropy", spoilt)
    model = model_for(task)
    history = run(task, model, "sam", epochs=6, validate_every=3)
    assert history.skipped_steps == 2
    assert all(torch.isfinite(p).all() for p in model.parameters())
    bad.update(range(100))
    with pytest.raises(NonFiniteError, match="finite loss, found none in 3 steps up to epoch 3; lower --lr"):
        run(task, model_for(task), "sam", epochs=6, validate_every=3)


def test_training_without_a_single_step_is_reported(data: NodeDataset) -> None:
    """Features so large that losses are finite and every gradient's norm is not."""
    task = task_on(replace(data, features=SparseRows.from_dense(data.features.to_dense() * 1e30)))
    with pytest.raises(NonFiniteError, match="finite gradients, found none in any step"):
        run(task, model_for(task), "sam", epochs=4, validate_every=2)


def test_logits_that_have_gone_are_reported(data: NodeDataset) -> None:
    task = task_on(data)
    model = model_for(task)
    with torch.no_grad():
        next(model.parameters()).fill_(float("inf"))
    with pytest.raises(NonFiniteError, match="finite"):
        task.score(model, task.split.val)


@pytest.mark.parametrize("name", ["epochs", "validate_every", "patience"])
def test_schedule_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} >= 1, found 0"):
        EpochSchedule(**{name: 0})


# -- stopped and resumed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lives", [1, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_dies_ends_as_if_it_had_not(data: NodeDataset, name: str, lives: int, tmp_path: Path) -> None:
    task, recipe = task_on(data), RECIPES[name]

    def train(checkpoints: Checkpoints | None) -> tuple[nn.Module, EpochHistory]:
        model = model_for(task, norm="batch")
        optimizer = recipe.build(model.parameters(), lr=0.01, total_steps=12)
        torch.manual_seed(5 if checkpoints is None or not checkpoints.last.exists() else 77)
        schedule = EpochSchedule(epochs=12, validate_every=2, patience=10)
        return model, train_nodes(model, task, optimizer, recipe, schedule=schedule, checkpoints=checkpoints)

    assert_resumes(train, tmp_path, lives, least_deaths=1)
