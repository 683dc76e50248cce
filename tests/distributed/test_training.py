"""The three training loops in two processes: against one process on the joint batch, and against m-SAM.

In float64, as Adam makes a step of a rounding error where a gradient is next to nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gsam.checkpoints import CheckpointError, Checkpoints
from gsam.distributed import ALONE, Ranks
from gsam.fewshot import PreparedGraph, Schedule, meta_train
from gsam.kg import rank
from gsam.kg.groups import parameter_groups
from gsam.kg.losses import LossOptions
from gsam.kg.models import HyboNet, MuRE
from gsam.kg.objective import Sampling
from gsam.kg.schedule import TrainingSchedule
from gsam.kg.training import train
from gsam.nodes import EpochSchedule, NodeGraph, NodeTask, build_model, node_split, train_nodes
from gsam.optim import MSAM
from gsam.optim.recipes import RECIPES
from tests.fewshot.test_training import gpn, sampler
from tests.fewshot.toy import toy_dataset
from tests.kg.toy_graph import SIZE, toy_graph
from tests.nodes.conftest import with_masks
from tests.processes import in_processes
from tests.resume import Dying, Killed

Found = dict[str, Any]


def found(model: nn.Module, history: Any) -> Found:
    times = ("seconds", "epoch_seconds", "eval_seconds")
    told = {name: value for name, value in asdict(history).items() if name not in times}
    return {"weights": {name: value.clone() for name, value in model.state_dict().items()}, "history": told}


# -- the three loops ---------------------------------------------------------------------------------------------------


def fewshot(ranks: Ranks, name: str, checkpoints: Checkpoints | None = None, *, dropout: float = 0.0) -> Found:
    """Steps of five episodes, of which the processes have two and three, and the last of each validation one."""
    graph = PreparedGraph.prepare(toy_dataset(dtype=torch.float64))
    method, chosen = gpn(dropout=dropout).double(), RECIPES[name]
    schedule = Schedule(episodes=22, validate_every=11, meta_batch_size=5)
    optimizer = chosen.build(method.parameters(), lr=0.01, total_steps=schedule.steps(22))
    validation = sampler(graph, (4, 5, 6), seed=1).take(3)
    options: dict[str, Any] = {"schedule": schedule, "ranks": ranks, "checkpoints": checkpoints}
    history = meta_train(method, graph, optimizer, chosen, sampler(graph), validation, **options)
    return found(method, history)


def nodes(ranks: Ranks, name: str, checkpoints: Checkpoints | None = None, *, dropout: float = 0.0) -> Found:
    data = with_masks(toy_dataset(dtype=torch.float64))
    inputs = NodeGraph.prepare(data, "sage")
    torch.manual_seed(0)
    shape = {"hidden": 8, "layers": 2, "dropout": dropout, "norm": "none", "jk": "none", "heads": 1}
    model = build_model("sage", inputs.num_features, data.num_classes, degrees=inputs.degrees, **shape).double()
    chosen, task = RECIPES[name], NodeTask(inputs, node_split(data, "published", 0), "accuracy", ranks)
    optimizer = chosen.build(model.parameters(), lr=0.01, total_steps=8)
    schedule = EpochSchedule(epochs=8, validate_every=2)
    return found(model, train_nodes(model, task, optimizer, chosen, schedule=schedule, checkpoints=checkpoints))


def kg(ranks: Ranks, case: str, checkpoints: Checkpoints | None = None, *, dropout: float = 0.0) -> Found:
    """``case`` is an optimizer, negatives, and whether gradients are row-sparse: ``"lorentz-sam shared sparse"``."""
    name, negatives, layout = case.split()
    chosen = RECIPES[name]
    torch.manual_seed(0)
    kind: Any = MuRE if name in ("sam", "adam") else HyboNet
    model = kind(SIZE, 8, 6, sparse=layout == "sparse", **({} if kind is MuRE else {"dropout": dropout}))
    sampling = Sampling(batch_size=23, num_negatives=7, negatives=negatives, own_head=True)
    model.double()
    optimizer = chosen.build(parameter_groups(model, chosen.base, {}), lr=0.02)
    schedule = TrainingSchedule(epochs=4, validate_every=2, average=0.9)
    options: dict[str, Any] = {"loss": LossOptions("softmax"), "ranks": ranks, "checkpoints": checkpoints}
    return found(model, train(model, toy_graph(), optimizer, sampling=sampling, schedule=schedule, **options))


LOOPS: dict[str, Any] = {"fewshot": fewshot, "nodes": nodes, "kg": kg}
GLOBAL = [
    *(("fewshot", name) for name in ("adam", "sam", "fgsam", "fgsam+", "looksam", "ae-sam")),
    *(("nodes", name) for name in ("adam", "sam", "fgsam", "fgsam+")),
    ("kg", "adam all dense"),
    ("kg", "sam per-triple dense"),
    ("kg", "radam per-triple sparse"),
    ("kg", "lorentz-sam shared sparse"),
    ("kg", "lorentz-sam-chart shared sparse"),
    ("kg", "rsgd shared sparse"),
]


def every_global(ranks: Ranks) -> dict[Any, Found]:
    return {case: LOOPS[case[0]](ranks, case[1]) for case in GLOBAL}


def test_global_is_one_process_on_the_joint_batch(tmp_path: Path) -> None:
    """All cases in one test, as the start of the processes takes longest."""
    first, second = in_processes(every_global, tmp_path)
    for case in GLOBAL:
        assert_same_bits(first[case], second[case])
        assert_close(first[case], LOOPS[case[0]](ALONE, case[1]), 1e-9)


def assert_same_bits(first: Found, second: Found) -> None:
    assert first["history"] == second["history"]
    assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())


def assert_close(one: Found, other: Found, tolerance: float) -> None:
    for name, value in other["history"].items():
        assert one["history"][name] == (pytest.approx(value, rel=tolerance) if isinstance(value, list) else value), name
    for name, value in other["weights"].items():
        torch.testing.assert_close(one["weights"][name], value, rtol=10 * tolerance, atol=10 * tolerance)


# -- local: m-SAM ------------------------------------------------------------------------------------------------------


class Halves(MSAM):
    """m-SAM whose shards are the two halves of the batch, as the shares of two processes are."""

    def reduce(self, losses: Tensor) -> Tensor:
        first = len(losses) // 2
        order = torch.stack([torch.arange(first), torch.arange(first, 2 * first)], 1).flatten()
        return super().reduce(losses[order])


def msam_kg(ranks: Ranks, *, local: bool) -> Found:
    torch.manual_seed(0)
    model = MuRE(SIZE, 8, 6).double()
    kind: Any = RECIPES["sam"].wrapper if local else Halves
    optimizer = kind(model.parameters(), torch.optim.SGD, lr=0.5, rho=0.3)
    graph = toy_graph()
    batch = next(size for size in range(16, 1000) if size % 2 == 0 and 2 * len(graph.train) % size in (0, *EVEN))
    sampling = Sampling(batch_size=batch, num_negatives=7)
    schedule = TrainingSchedule(epochs=3, validate_every=1)
    return found(model, train(model, graph, optimizer, sampling=sampling, schedule=schedule, ranks=ranks))


EVEN = range(2, 1000, 2)  # sizes of the last batch that halve


def nodes_local(ranks: Ranks) -> Found:
    return nodes(ranks, "sam" if ranks.size > 1 else "msam")


def fewshot_local(ranks: Ranks, *, naive: bool = False) -> Found:
    """Two episodes a step; the naive version climbs for each of them by hand."""
    graph = PreparedGraph.prepare(toy_dataset(dtype=torch.float64))
    method, chosen = gpn(dropout=0.0).double(), RECIPES["sam"]
    validation = sampler(graph, (4, 5, 6), seed=1).take(3)
    if not naive:
        optimizer = chosen.build(method.parameters(), lr=0.01, rho=0.1)
        schedule = Schedule(episodes=12, validate_every=6, meta_batch_size=2)
        history = meta_train(
            method, graph, optimizer, chosen, sampler(graph), validation, schedule=schedule, ranks=ranks
        )
        return {"best": history.episode[history.best], **found(method, history)}
    base, params, losses = torch.optim.Adam(method.parameters(), lr=0.01), list(method.parameters()), []
    method.train()
    states = {}
    for step, pair in enumerate(zip(*[iter(sampler(graph).take(12))] * 2, strict=True)):
        total = [torch.zeros_like(p) for p in params]
        at_rest = []
        for episode in pair:
            inputs = graph.inputs(episode)
            at_rest.append(method.loss(inputs, peer=False, reduce=torch.mean))
            grads = torch.autograd.grad(at_rest[-1], params)
            length = torch.cat([g.flatten() for g in grads]).norm()
            with torch.no_grad():
                moves = [0.1 * g / length for g in grads]
                for p, move in zip(params, moves, strict=True):
                    p.add_(move)
            there = torch.autograd.grad(method.loss(inputs, peer=False, reduce=torch.mean), params)
            with torch.no_grad():
                for p, move, part, g in zip(params, moves, total, there, strict=True):
                    p.sub_(move)
                    part.add_(g / 2)
        for p, g in zip(params, total, strict=True):
            p.grad = g
        base.step()
        losses.append(sum(loss.item() for loss in at_rest) / 2)
        states[2 * (step + 1)] = {name: value.clone() for name, value in method.state_dict().items()}
    return {"states": states, "losses": [sum(losses[:3]) / 3, sum(losses[3:]) / 3]}


def hyperbolic_local(ranks: Ranks) -> Found:
    """Points on the hyperboloid, whose gradients are not carried back."""
    torch.manual_seed(0)
    model, chosen = HyboNet(SIZE, 8, 6, sparse=True).double(), RECIPES["lorentz-sam"]
    optimizer = chosen.build(parameter_groups(model, chosen.base, {}), lr=0.02, rho=0.3, transport=False)
    schedule = TrainingSchedule(epochs=3, validate_every=1)
    options: dict[str, Any] = {"sampling": Sampling(batch_size=23, num_negatives=7), "ranks": ranks}
    return found(model, train(model, toy_graph(), optimizer, schedule=schedule, **options))


def every_local(ranks: Ranks) -> dict[str, Found]:
    return {
        "lorentz": hyperbolic_local(ranks),
        "fewshot": fewshot_local(ranks),
        "nodes": nodes_local(ranks),
        "kg": msam_kg(ranks, local=True),
    }


def test_local_is_msam(tmp_path: Path) -> None:
    found, second = in_processes(every_local, tmp_path, ascent="local")
    for loop, result in found.items():
        assert_same_bits(result, second[loop])
    first, naive = found["fewshot"], fewshot_local(ALONE, naive=True)
    assert first["history"]["loss"] == pytest.approx(naive["losses"], rel=1e-9)
    torch.testing.assert_close(first["weights"], naive["states"][first["best"]], rtol=1e-8, atol=1e-8)
    assert_close(found["nodes"], nodes_local(ALONE), 1e-9)
    assert_close(found["kg"], msam_kg(ALONE, local=False), 1e-9)


# -- dying and going on ------------------------------------------------------------------------------------------------


RESUMED = {"fewshot": ("fgsam", 1), "nodes": ("sam", 1), "kg": ("lorentz-sam shared sparse", 5)}


def every_resumed(ranks: Ranks, folder: str) -> dict[str, Any]:
    """With dropout, which each process draws by itself."""
    results: dict[str, Any] = {}
    for loop, (case, lives) in RESUMED.items():
        deaths, place = 0, Path(folder) / loop
        while f"{loop} again" not in results:
            torch.manual_seed(1000 + deaths)
            try:
                results[f"{loop} again"] = LOOPS[loop](ranks, case, Dying(place, lives, ranks), dropout=0.3)
            except Killed:
                deaths += 1
        results |= {loop: LOOPS[loop](ranks, case, dropout=0.3), f"{loop} deaths": deaths}
    try:
        LOOPS["nodes"](ALONE, "sam", Checkpoints(Path(folder) / "nodes", every=0), dropout=0.3)
    except CheckpointError as error:
        results["alone"] = str(error)
    return results


def test_processes_that_die_go_on_as_if_they_had_not(tmp_path: Path) -> None:
    for results in in_processes(every_resumed, tmp_path / "out", str(tmp_path)):
        for loop in RESUMED:
            assert results[f"{loop} deaths"] >= 1
            assert_same_bits(results[f"{loop} again"], results[loop])
        assert "expected a checkpoint of this training, found one in" in results["alone"]
        assert "with processes 2, not None" in results["alone"]


# -- ranking -----------------------------------------------------------------------------------------------------------


def ranked(ranks: Ranks) -> Any:
    torch.manual_seed(0)
    model = HyboNet(SIZE, 8, 6)
    return {split: rank(model, toy_graph(), split, ranks=ranks).metrics() for split in ("train", "valid", "test")}


def test_a_shared_ranking_is_the_ranking(tmp_path: Path) -> None:
    first, second = in_processes(ranked, tmp_path)
    assert first == second == ranked(ALONE)
