from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gsam.datasets import NodeDataset
from gsam.fewshot import ClassSplit, EpisodeError, FewShotConfig, Schedule, SplitError
from gsam.fewshot.config import class_split, samplers
from gsam.fewshot.registry import BASELINES, METHODS
from gsam.optim.recipes import RECIPES


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gpt"}, "a method among residual-gnn, gpn, .*linear-probe, .*, found 'gpt'"),
        ({"optimizer": "adm"}, "an optimizer among adam, .*peer-mlp-sam, found 'adm'"),
        ({"rho": 0.1}, "options of the optimizer 'adam' .none., found rho"),
        ({"optimizer": "sam", "lam": 1.0, "k": 2}, "optimizer 'sam' .rho., found k, lam"),
        ({"optimizer": "sam", "rho": -0.1}, "rho >= 0, found -0.1"),
        ({"optimizer": "sam", "rho": float("nan")}, "rho >= 0, found nan"),
        ({"optimizer": "fgsam", "lam": -1.0}, "lam >= 0"),
        ({"optimizer": "fgsam+", "k": 0}, "k >= 1, found 0"),
        ({"optimizer": "fgsam+", "alpha": -0.5}, "alpha >= 0, found -0.5"),
        ({"seeds": (0, 2**63)}, r"seeds below 2\^63, found 9223372036854775808"),
        ({"seeds": ()}, "distinct seeds >= 0, found none"),
        ({"seeds": (1, 2, 1)}, "distinct seeds >= 0, found 1,2,1"),
        ({"seeds": (0, -1)}, "distinct seeds >= 0, found 0,-1"),
        ({"ways": 1}, "ways >= 2, found 1"),
        ({"shots": 0}, "shots >= 1, found 0"),
        ({"queries": 0}, "queries >= 1, found 0"),
        ({"validation_episodes": 0}, "validation_episodes >= 1"),
        ({"test_episodes": 0}, "test_episodes >= 1"),
        ({"hidden": 0}, "hidden >= 1"),
        ({"episodes": 0}, "episodes >= 1"),
        ({"validate_every": 0}, "validate_every >= 1"),
        ({"patience": 0}, "patience >= 1"),
        ({"lr": 0.0}, "lr > 0, found 0.0"),
        ({"lr": float("nan")}, "lr > 0, found nan"),
        ({"lr": float("inf")}, "lr > 0, found inf"),
        ({"weight_decay": -1.0}, "weight_decay >= 0, found -1.0"),
        ({"weight_decay": float("nan")}, "weight_decay >= 0, found nan"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\), found 1.0"),
        ({"dropout": -0.1}, r"dropout in \[0, 1\), found -0.1"),
        ({"dropout": float("nan")}, r"dropout in \[0, 1\), found nan"),
        ({"train_ways": 1}, "train_ways >= 2, found 1"),
        ({"train_ways": 0}, "train_ways >= 2, found 0"),
        ({"train_queries": 0}, "train_queries >= 1, found 0"),
        ({"max_neighbors": 0}, "max_neighbors >= 1, found 0"),
        ({"optimizer": "sam", "rho": 0.1, "options": {"rho": 0.2}}, "each optimizer option once, found rho"),
        ({"optimizer": "esam", "options": {"beta": "all"}}, "beta to be a number such as 0.6, found 'all'"),
        ({"method": "meta-gnn", "options": {"inner_lr": "fast"}}, "inner_lr to be a number such as 0.1, found 'fast'"),
        ({"method": "meta-gnn", "options": {"first_order": "no"}}, "first_order to be true or false, found 'no'"),
        ({"method": "meta-gnn", "options": {"inner_steps": 0}}, "inner_steps >= 1, found 0"),
        ({"method": "residual-gnn", "options": {"scale": 0.0}}, "scale > 0 .*, found 0.0"),
    ],
)
def test_what_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FewShotConfig("toy", **options)


@pytest.mark.parametrize("optimizer", RECIPES)
@pytest.mark.parametrize("method", [*METHODS, *BASELINES])
def test_everything_named_is_accepted(method: str, optimizer: str) -> None:
    config = FewShotConfig("toy", method=method, optimizer=optimizer)
    assert config.trains is (method in METHODS)
    expected = {} if method in BASELINES else {"lr": 5e-3, **RECIPES[optimizer].options}
    assert expected.items() <= config.hyperparameters.items()
    assert bool(config.hyperparameters) is config.trains
    json.dumps(config.to_dict(), allow_nan=False)


def test_hyperparameters_in_force() -> None:
    config = FewShotConfig("toy", optimizer="fgsam+", rho=0.2, k=3, lr=0.1, hidden=8, dropout=0.5, episodes=7)
    assert config.hyperparameters == {
        "lr": 0.1,
        "weight_decay": 5e-4,
        "hidden": 8,
        "dropout": 0.5,
        "episodes": 7,
        "validate_every": 10,
        "validation_episodes": 20,
        "patience": 10,
        "train_ways": 5,
        "train_queries": 10,
        "max_neighbors": None,
        "rho": 0.2,
        "lam": 1.0,
        "alpha": 0.7,
        "k": 3,
    }
    assert config.optimizer_options == {"rho": 0.2, "k": 3}
    assert config.schedule == Schedule(7, 10, 10)
    optimizer = config.build_optimizer([torch.zeros(2, requires_grad=True)])
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["rho"], group["alpha"], optimizer.k) == (0.1, 5e-4, 0.2, 0.7, 3)


def test_training_episodes_of_their_own_size(data: NodeDataset) -> None:
    """As many classes as asked for or as there are; validation and test stay as they are."""
    config = FewShotConfig("toy", ways=2, shots=2, queries=3, split="3,3,3", train_ways=15, train_queries=5)
    found = samplers(config, data, 0)
    shapes = {part: tuple(sampler.episode(0).query.shape) for part, sampler in found.items()}
    assert shapes == {"train": (3, 5), "valid": (2, 3), "test": (2, 3)}
    assert (config.hyperparameters["train_ways"], config.hyperparameters["train_queries"]) == (15, 5)
    plain = samplers(FewShotConfig("toy", ways=2, shots=2, queries=3, split="3,3,3"), data, 0)
    assert torch.equal(plain["test"].episode(4).query, found["test"].episode(4).query)
    for name in ("train_ways", "train_queries"):
        with pytest.raises(ValueError, match=f"{name} >= "):
            FewShotConfig("toy", **{name: 0})


def test_zero_is_a_choice() -> None:
    """``rho=0`` and ``lam=0`` are values, not "use the default"."""
    config = FewShotConfig("toy", optimizer="fgsam", rho=0.0, lam=0.0)
    assert config.hyperparameters["rho"] == config.hyperparameters["lam"] == 0.0


def test_round_trip() -> None:
    config = FewShotConfig("toy", seeds=(3, 1), optimizer="sam", rho=0.2)
    stored = json.loads(json.dumps(config.to_dict()))
    assert FewShotConfig(**{**stored, "seeds": tuple(stored["seeds"])}) == config
    assert config.setting == {"ways": 5, "shots": 3, "queries": 10, "split": "5,5,5"}


def test_class_split_by_counts(data: NodeDataset) -> None:
    config = FewShotConfig("toy", split="3, 2,4")
    assert class_split(config, data, 5) == ClassSplit.random(9, (3, 2, 4), 5)
    assert class_split(config, data, 5) != class_split(config, data, 6)


def test_class_split_by_name_and_file(data: NodeDataset, tmp_path: Path) -> None:
    expected = ClassSplit((8, 1, 2), (0, 4, 5), (7, 3, 6))
    assert class_split(FewShotConfig("toy", split="published"), data, 3) == expected
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(expected.to_dict()))
    assert class_split(FewShotConfig("toy", split=str(path)), data, 3) == expected
    path.write_text('{"train": [0, 1], "valid": [2], "test": [9]}')
    with pytest.raises(SplitError, match=r"classes 0 to 8, found \[9\]"):
        class_split(FewShotConfig("toy", split=str(path)), data, 3)


@pytest.mark.parametrize(
    "text", ["3,3", "3,3,3,3", "a,b,c", "", "3;3;3", "-3,3,3", "3.0,3,3", "²,3,3", "publishd", "4,4,4"]
)
def test_class_split_that_is_none(data: NodeDataset, text: str) -> None:
    with pytest.raises(SplitError, match="expected"):
        class_split(FewShotConfig("toy", split=text), data, 0)


def test_samplers(data: NodeDataset) -> None:
    """Each part draws from its own classes, from its own stream; the test tasks depend on nothing but the task."""
    config = FewShotConfig("toy", ways=3, shots=2, queries=4, split="3,3,3")
    found = samplers(config, data, 4)
    split = class_split(config, data, 4)
    for part in ("train", "valid", "test"):
        for episode in found[part].take(10):
            assert set(episode.classes.tolist()) == set(getattr(split, part))
            assert episode.support.shape == (3, 2)
            assert episode.query.shape == (3, 4)
    # the position within its class of each node drawn
    places = [[(e.nodes // 9).tolist() for e in found[part].take(5)] for part in found]
    assert places[0] != places[1] != places[2] != places[0]
    other = FewShotConfig(
        "toy", "proto-net", "sam", 3, 2, 4, "3,3,3", (4, 9), episodes=3, test_episodes=7, lr=0.1, hidden=3
    )
    twin = samplers(other, data, 4)["test"].episode(6)
    assert torch.equal(twin.nodes, found["test"].episode(6).nodes)


def test_samplers_name_the_class(data: NodeDataset) -> None:
    with pytest.raises(EpisodeError, match=r"found 14 in class \d \(kind \d\)"):
        samplers(FewShotConfig("toy", ways=3, shots=5, queries=10, split="3,3,3"), data, 0)
    with pytest.raises(EpisodeError, match="5-way episodes, found 3"):
        samplers(FewShotConfig("toy", split="3,3,3", shots=1, queries=1), data, 0)
