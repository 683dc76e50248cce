from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from gsam.optim import ASAM, FGSAM, SAM, FGSAMPlus, SharpnessAware
from gsam.optim.recipes import RECIPES, Recipe, recipe
from tests.optim.problems import Problem, equal


def closures(problem: Problem, opt: torch.optim.Optimizer, calls: list[str]):
    def make(graph: bool):
        def closure() -> Tensor:
            calls.append("gnn" if graph else "peer")
            opt.zero_grad()
            loss = problem.loss(graph=graph)
            loss.backward()
            return loss

        return closure

    return make(True), make(False)


DIRECT = {  # the same, written out by hand
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1),
    "sam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
    "asam": lambda p: ASAM(p, torch.optim.Adam, rho=0.5, lr=0.01, weight_decay=0.1),
    "fgsam": lambda p: FGSAM(p, torch.optim.Adam, rho=0.05, lam=1.0, lr=0.01, weight_decay=0.1),
    "fgsam+": lambda p: FGSAMPlus(p, torch.optim.Adam, rho=0.1, lam=1, alpha=0.7, k=5, lr=0.01, weight_decay=0.1),
    "peer-mlp": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "peer-mlp-sam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
}
PASSES = {"adam": "gnn", "adamw": "gnn", "sgd": "gnn", "peer-mlp": "peer", "peer-mlp-sam": "peer peer"}


@pytest.mark.parametrize("name", RECIPES)
def test_equals_the_optimizer_by_hand(name: str) -> None:
    """Weights after 6 steps, and the loss each step returns."""
    problem, twin = Problem(), Problem()
    opt = recipe(name).build(problem.params, lr=0.01, weight_decay=0.1)
    other = DIRECT[name](twin.params)
    calls: list[str] = []
    for _ in range(6):
        calls.clear()
        loss = recipe(name).step(opt, *closures(problem, opt, calls))
        if name in PASSES:
            assert " ".join(calls) == PASSES[name]
        graph, peer = closures(twin, other, [])
        if recipe(name).passes == "both":
            expected = other.step(graph, peer)
        else:
            expected = other.step(graph if recipe(name).passes == "graph" else peer)
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(problem.params, twin.params, rtol=1e-9, atol=1e-11)  # fused rounds differently


@pytest.mark.parametrize("name", RECIPES)
def test_defaults_are_those_of_the_class(name: str) -> None:
    found = recipe(name)
    assert found.name == name
    opt = found.build(Problem().params, lr=0.01)
    assert isinstance(opt, found.wrapper or found.base)
    assert opt.param_groups[0]["lr"] == 0.01
    assert opt.param_groups[0]["weight_decay"] == 0.0
    if found.wrapper is None:
        assert not found.options
        return
    plain = found.wrapper(Problem().params, torch.optim.Adam, lr=0.01)
    for option, value in found.options.items():
        attribute = getattr(plain, option, None) if option == "k" else plain.param_groups[0][option]
        assert attribute == value, f"{option} is documented as {value}"


@pytest.mark.parametrize("name", [n for n, found in RECIPES.items() if found.options])
def test_chosen_options_are_used(name: str) -> None:
    chosen = {"rho": 0.3, "lam": 0.25, "alpha": 0.4, "k": 5}
    chosen = {option: value for option, value in chosen.items() if option in recipe(name).options}
    opt = recipe(name).build(Problem().params, lr=0.01, **chosen)
    assert isinstance(opt, SharpnessAware)
    for option, value in chosen.items():
        assert (getattr(opt, option) if option == "k" else opt.param_groups[0][option]) == value
    assert recipe(name).hyperparameters(**chosen) == chosen
    unchanged = copy.deepcopy(dict(recipe(name).options))
    assert recipe(name).hyperparameters(**dict.fromkeys(chosen)) == unchanged  # None means not chosen
    assert recipe(name).hyperparameters(rho=0.0)["rho"] == 0.0  # zero is a choice


@pytest.mark.parametrize("name", RECIPES)
def test_unknown_option(name: str) -> None:
    with pytest.raises(ValueError, match=r"options of the optimizer .*, found beta, gamma") as error:
        recipe(name).build(Problem().params, lr=0.01, gamma=1.0, beta=2.0)
    for option in recipe(name).options or ["none"]:
        assert option in str(error.value)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="found 'sammy'") as error:
        recipe("sammy")
    assert all(name in str(error.value) for name in RECIPES)


def test_a_recipe_of_ones_own() -> None:
    """Groups with their own settings, another base."""
    problem = Problem()
    before = problem.weights()
    mine = Recipe("mine", "graph", torch.optim.RMSprop, SAM, {"rho": 0.1})
    opt = mine.build([{"params": problem.params[:1], "lr": 0.0}, {"params": problem.params[1:]}], lr=0.01)
    mine.step(opt, *closures(problem, opt, []))
    assert equal(problem.weights()[:1], before[:1])
    assert not equal(problem.weights()[1:], before[1:])
