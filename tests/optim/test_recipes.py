from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from gsam.manifolds import Lorentz, PoincareBall, manifold_groups
from gsam.optim import (
    AESAM,
    ASAM,
    ESAM,
    FGSAM,
    MSAM,
    SAM,
    FGSAMPlus,
    FisherSAM,
    LookSAM,
    RiemannianAdam,
    SharpnessAware,
)
from gsam.optim.recipes import RECIPES, Recipe, recipe
from tests.optim.manifold_problems import point_on
from tests.optim.problems import Problem, equal


def closures(problem: Problem, opt: torch.optim.Optimizer, calls: list[str]):
    def make(graph: bool):
        def closure() -> Tensor:
            calls.append("gnn" if graph else "peer")
            opt.zero_grad()
            loss = problem.loss(graph=graph, reduce=getattr(opt, "reduce", torch.mean))
            loss.backward()
            return loss

        return closure

    return make(True), make(False)


DIRECT = {  # the same, written out by hand
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, weight_decay=0.1),
    "radam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),  # the parameters are plain
    "rsgd": lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1),
    "chart-adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "fisher-sam": lambda p: FisherSAM(p, torch.optim.Adam, rho=0.05, eta=1.0, lr=0.01, weight_decay=0.1),
    "rsam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
    "lorentz-sam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
    "lorentz-sam-chart": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
    "sam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
    "asam": lambda p: ASAM(p, torch.optim.Adam, rho=0.5, lr=0.01, weight_decay=0.1),
    "esam": lambda p: ESAM(p, torch.optim.Adam, rho=0.05, beta=0.6, gamma=0.5, lr=0.01, weight_decay=0.1),
    "looksam": lambda p: LookSAM(p, torch.optim.Adam, rho=0.05, alpha=0.7, k=5, lr=0.01, weight_decay=0.1),
    "ae-sam": lambda p: AESAM(
        p, torch.optim.Adam, total_steps=9, rho=0.05, lambda1=-1, lambda2=1, decay=0.9, lr=0.01, weight_decay=0.1
    ),
    "msam": lambda p: MSAM(p, torch.optim.Adam, rho=0.05, m=2, lr=0.01, weight_decay=0.1),
    "fgsam": lambda p: FGSAM(p, torch.optim.Adam, rho=0.05, lam=1.0, lr=0.01, weight_decay=0.1),
    "fgsam+": lambda p: FGSAMPlus(p, torch.optim.Adam, rho=0.1, lam=1, alpha=0.7, k=5, lr=0.01, weight_decay=0.1),
    "peer-mlp": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "peer-mlp-sam": lambda p: SAM(p, torch.optim.Adam, rho=0.05, lr=0.01, weight_decay=0.1),
}
PASSES = {"adam": "gnn", "adamw": "gnn", "sgd": "gnn", "peer-mlp": "peer", "peer-mlp-sam": "peer peer"}
PASSES |= {"esam": "gnn gnn", "msam": "gnn gnn gnn gnn"}
PASSES |= dict.fromkeys(("adagrad", "radam", "rsgd", "chart-adam"), "gnn")
PASSES |= dict.fromkeys(("fisher-sam", "rsam", "lorentz-sam", "lorentz-sam-chart"), "gnn gnn")


def built(name: str, problem: Problem, **options: Any) -> torch.optim.Optimizer:
    return recipe(name).build(problem.params, lr=0.01, total_steps=9, **options)


def _total(name: str) -> dict[str, int]:
    return {"total_steps": 9} if recipe(name).needs_total_steps else {}


def option_of(opt: Any, name: str) -> Any:
    return opt.param_groups[0][name] if name in opt.param_groups[0] else getattr(opt, name)


@pytest.mark.parametrize("name", RECIPES)
def test_equals_the_optimizer_by_hand(name: str) -> None:
    """Weights after 6 steps, and the loss each step returns."""
    problem, twin = Problem(), Problem()
    opt = built(name, problem, weight_decay=0.1)
    other = DIRECT[name](twin.params)
    calls: list[str] = []
    for t in range(6):
        calls.clear()
        torch.manual_seed(t)
        loss = recipe(name).step(opt, *closures(problem, opt, calls))
        if name in PASSES:
            assert " ".join(calls) == PASSES[name]
        graph, peer = closures(twin, other, [])
        torch.manual_seed(t)
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
    opt = built(name, Problem())
    assert isinstance(opt, found.wrapper or found.base)
    assert opt.param_groups[0]["lr"] == 0.01
    assert opt.param_groups[0]["weight_decay"] == 0.0
    if found.wrapper is None:
        assert not found.options
        return
    plain = found.wrapper(Problem().params, torch.optim.Adam, lr=0.01, **_total(name))
    for option, value in found.options.items():
        assert option_of(plain, option) == value, f"{option} is documented as {value}"


@pytest.mark.parametrize("name", [n for n, found in RECIPES.items() if found.options])
def test_chosen_options_are_used(name: str) -> None:
    chosen = {"rho": 0.3, "lam": 0.25, "alpha": 0.4, "k": 4, "beta": 0.8, "gamma": 0.9, "m": 3}
    chosen |= {"lambda1": -2.0, "lambda2": 0.5, "decay": 0.5, "eta": 0.5, "transport": False, "per": "row"}
    chosen = {option: value for option, value in chosen.items() if option in recipe(name).options}
    assert chosen.keys() == recipe(name).options.keys()
    opt = built(name, Problem(), **chosen)
    assert isinstance(opt, SharpnessAware)
    for option, value in chosen.items():
        assert option_of(opt, option) == value
    assert recipe(name).hyperparameters(**chosen) == chosen
    unchanged = copy.deepcopy(dict(recipe(name).options))
    assert recipe(name).hyperparameters(**dict.fromkeys(chosen)) == unchanged  # None means not chosen
    assert recipe(name).hyperparameters(rho=0.0)["rho"] == 0.0  # zero is a choice


@pytest.mark.parametrize("name", RECIPES)
def test_unknown_option(name: str) -> None:
    with pytest.raises(ValueError, match=r"options of the optimizer .*, found sigma, tau") as error:
        built(name, Problem(), tau=1.0, sigma=2.0)
    for option in recipe(name).options or ["none"]:
        assert option in str(error.value)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("esam", {"beta": "x"}), ("msam", {"m": True}), ("ae-sam", {"lambda1": "x"}), ("fisher-sam", {"eta": "x"})],
)
def test_option_of_another_type(name: str, chosen: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"expected {next(iter(chosen))} to be a .*number such as"):
        built(name, Problem(), **chosen)


def test_total_steps() -> None:
    """Handed to the wrapper that needs it; the others do without, and ignore it."""
    opt = built("ae-sam", Problem())
    assert isinstance(opt, AESAM)
    assert opt.total_steps == 9
    with pytest.raises(ValueError, match=r"expected total_steps for the optimizer 'ae-sam', found none; pass build\("):
        recipe("ae-sam").build(Problem().params, lr=0.01)
    assert [name for name, found in RECIPES.items() if found.needs_total_steps] == ["ae-sam"]
    for name in RECIPES.keys() - {"ae-sam"}:
        recipe(name).build(Problem().params, lr=0.01)
    assert "total_steps" not in recipe("ae-sam").options


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


class Points(torch.nn.Module):
    """Points on a manifold beside a plain matrix."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.points = point_on(kind(0.7), 4)
        self.weight = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.float64))

    def closure(self, opt: torch.optim.Optimizer):
        def run() -> Tensor:
            opt.zero_grad()
            loss = (self.points @ self.weight.T).sin().sum()
            loss.backward()
            return loss

        return run


@pytest.mark.parametrize("name", ["radam", "rsgd", "chart-adam", "rsam", "lorentz-sam", "lorentz-sam-chart"])
def test_groups_with_manifolds(name: str) -> None:
    """Named groups train the points as ``ManifoldParameter``s do, and these stay where they belong."""
    known, plain = Points(Lorentz), Points(Lorentz)
    plain.load_state_dict(plain.state_dict(), assign=True)
    groups = [{"params": [plain.points], "manifold": known.points.manifold}, {"params": [plain.weight]}]
    for model, params in ((known, known.parameters()), (plain, groups)):
        opt = recipe(name).build(params, lr=0.05)
        for _ in range(4):
            recipe(name).step(opt, model.closure(opt), model.closure(opt))
    assert equal([p.detach() for p in known.parameters()], [p.detach() for p in plain.parameters()])
    form = known.points.detach()[:, 1:].square().sum(1) - known.points.detach()[:, 0].square()
    torch.testing.assert_close(0.7 * form, -torch.ones_like(form))


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.base.__module__.startswith("torch")])
def test_bases_that_would_leave_the_manifold(name: str) -> None:
    for groups in (Points(PoincareBall).parameters(), manifold_groups(Points(Lorentz))):
        with pytest.raises(ValueError, match=r"whose steps leave the manifold; take .*radam, rsgd, rsam, lorentz-sam"):
            recipe(name).build(groups, lr=0.1, total_steps=9)


def test_lorentz_sam_takes_no_ball() -> None:
    recipe("rsam").build(Points(PoincareBall).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="found one on PoincareBall"):
        recipe("lorentz-sam").build(Points(PoincareBall).parameters(), lr=0.1)


def test_a_base_without_weight_decay() -> None:
    mine = Recipe("mine", "graph", torch.optim.SparseAdam)
    mine.build(Problem().params, lr=0.01)
    with pytest.raises(ValueError, match=r"weight_decay = 0 for the optimizer 'mine', found 0\.1: SparseAdam has none"):
        mine.build(Problem().params, lr=0.01, weight_decay=0.1)


def test_ours_are_the_bases() -> None:
    opt = recipe("lorentz-sam").build(Points(Lorentz).parameters(), lr=0.1, weight_decay=0.01)
    assert isinstance(opt, SharpnessAware)
    assert type(opt.base) is RiemannianAdam
    assert opt.base.param_groups[0]["weight_decay"] == 0.01
