from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gsam.distributed import Ranks
from gsam.fewshot import (
    GPN,
    EpisodeInputs,
    EpisodeSampler,
    FewShotMethod,
    History,
    NonFiniteError,
    PreparedGraph,
    Schedule,
    evaluate,
    meta_train,
    train_step,
    training,
)
from gsam.fewshot.method import Reduce
from gsam.optim.recipes import RECIPES
from tests.fewshot.toy import FEATURES, toy_dataset, toy_episode


def sampler(graph: PreparedGraph, classes: tuple[int, ...] = (0, 1, 2, 3), seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(graph.dataset.labels, classes, n_way=3, k_shot=2, m_query=3, seed=seed)


def gpn(*, dropout: float = 0.3, seed: int = 0) -> GPN:
    torch.manual_seed(seed)
    return GPN(FEATURES, hidden=6, dropout=dropout)


def run(graph: PreparedGraph, method: FewShotMethod, name: str = "adam", **schedule: int) -> History:
    recipe = RECIPES[name]
    validation = sampler(graph, (4, 5, 6), seed=1).take(4)
    optimizer = recipe.build(method.parameters(), lr=0.01, weight_decay=5e-4, total_steps=schedule["episodes"])
    return meta_train(method, graph, optimizer, recipe, sampler(graph), validation, schedule=Schedule(**schedule))


class Script:
    """Stands in for ``evaluate_inputs``: gives scripted scores and keeps the weights it saw."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.seen: list[dict[str, Tensor]] = []

    def __call__(self, method: FewShotMethod, tasks: list[EpisodeInputs], ranks: Ranks) -> float:
        assert method.training
        self.seen.append(copy.deepcopy(method.state_dict()))
        return self.scores[len(self.seen) - 1]


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
    graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch, scores: list[float], patience: int, ran: int, best: int
) -> None:
    script = Script(scores)
    monkeypatch.setattr(training, "evaluate_inputs", script)
    method = gpn()
    history = run(graph, method, episodes=3 * len(scores), validate_every=3, patience=patience)
    assert history.val_accuracy == scores[:ran]
    assert history.best == best
    assert same_weights(method.state_dict(), script.seen[best])
    assert not any(same_weights(method.state_dict(), seen) for i, seen in enumerate(script.seen) if i != best)
    assert not method.training
    assert history.episode == [3 * (i + 1) for i in range(ran)]
    assert len(history.seconds) == len(history.loss) == ran


@pytest.mark.parametrize(
    ("episodes", "every", "expected"), [(8, 3, [3, 6, 8]), (6, 3, [3, 6]), (2, 5, [2]), (1, 1, [1])]
)
def test_last_episode_is_always_validated(graph: PreparedGraph, episodes: int, every: int, expected: list[int]) -> None:
    history = run(graph, gpn(), episodes=episodes, validate_every=every)
    assert history.episode == expected


def test_validation_is_the_real_one(graph: PreparedGraph) -> None:
    """What the history says of the best weights is what they score."""
    method = gpn()
    history = run(graph, method, episodes=9, validate_every=2)
    validation = sampler(graph, (4, 5, 6), seed=1).take(4)
    assert evaluate(method, graph, validation) == history.val_accuracy[history.best] == max(history.val_accuracy)


def test_losses_by_hand(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain Adam loop over the same episodes gives the same losses and the same weights, bit for bit."""
    method, twin = gpn(dropout=0.0), gpn(dropout=0.0)
    monkeypatch.setattr(training, "evaluate_inputs", Script([50, 60]))
    history = run(graph, method, episodes=5, validate_every=3)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01, weight_decay=5e-4, fused=True)
    losses = []
    for episode in sampler(graph).take(5):
        optimizer.zero_grad()
        inputs = graph.inputs(episode)
        loss = F.cross_entropy(twin.logits(inputs), episode.targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert same_weights(method.state_dict(), twin.state_dict())
    assert history.loss == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 2])


def test_looking_does_not_change_the_training(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    often, seldom = gpn(), gpn()
    seen: list[dict[str, Tensor]] = []
    for method, every in ((often, 1), (seldom, 12)):
        torch.manual_seed(7)
        script = Script(list(range(12)))
        monkeypatch.setattr(training, "evaluate_inputs", script)
        run(graph, method, "sam", episodes=12, validate_every=every)
        seen.append(script.seen[-1])
    assert same_weights(*seen)


@pytest.mark.parametrize("name", RECIPES)
def test_deterministic(graph: PreparedGraph, name: str) -> None:
    found = []
    for seed in (0, 0, 1):
        method = gpn(seed=seed)
        history = run(graph, method, name, episodes=7, validate_every=3)
        found.append((method.state_dict(), history.loss, history.val_accuracy))
    assert same_weights(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert not same_weights(found[0][0], found[2][0])


def test_training_helps(graph: PreparedGraph) -> None:
    """On episodes of the training classes themselves, after 60 episodes the loss is lower than at the start."""
    method = gpn(dropout=0.0)
    history = run(graph, method, episodes=60, validate_every=20)
    assert history.loss[-1] < history.loss[0] < 3


PASSES: dict[str, list[list[bool]]] = {  # peer or not, in the successive steps
    "adam": [[False]],
    "adamw": [[False]],
    "sgd": [[False]],
    "sam": [[False, False]],
    "asam": [[False, False]],
    "esam": [[False, False]],
    "looksam": [[False, False], [False], [False], [False], [False]],
    "ae-sam": [[False, False]],  # where it climbs; the test below looks
    "msam": [[False, False, False, False]],  # two shards
    "fgsam": [[False, True]],
    "fgsam+": [[False, True, True], [True], [True], [True], [True]],
    "peer-mlp": [[True]],
    "peer-mlp-sam": [[True, True]],
    **{key: [[False]] for key in ("adagrad", "radam", "rsgd", "chart-adam")},
    **{key: [[False, False]] for key in ("fisher-sam", "rsam", "lorentz-sam", "lorentz-sam-chart")},
}


def test_every_recipe_has_its_passes() -> None:
    assert PASSES.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_passes_of_a_step(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Which network runs in which step, and with what dropout: one mask for the passes of a step, then another."""
    method, recipe, calls = gpn(dropout=0.5), RECIPES[name], []
    optimizer = recipe.build(method.parameters(), lr=0.01, total_steps=4)
    masks: list[Tensor] = []
    real = F.dropout

    def dropout(x: Tensor, p: float = 0.5, on: bool = True) -> Tensor:
        masks.append(real(torch.ones_like(x), p, on))
        return x * masks[-1]

    class Watched(GPN):
        def logits(self, inputs: EpisodeInputs, *, peer: bool = False) -> Tensor:
            calls.append(peer)
            return super().logits(inputs, peer=peer)

    method.__class__ = Watched
    monkeypatch.setattr(F, "dropout", dropout)
    firsts = []
    for number in range(4):
        calls.clear()
        masks.clear()
        sharp_steps = getattr(optimizer, "sharp_steps", 0)
        train_step(method, graph.inputs(toy_episode()), optimizer, recipe)
        plain = name == "ae-sam" and optimizer.sharp_steps == sharp_steps
        assert calls == ([False] if plain else PASSES[name][number % len(PASSES[name])])
        for peer in (False, True):
            alike = [mask for mask, called in zip(masks, calls, strict=True) if called is peer]
            assert all(torch.equal(mask, alike[0]) for mask in alike)
        firsts.append(masks[0])
    assert not any(a.shape == b.shape and torch.equal(a, b) for i, a in enumerate(firsts) for b in firsts[:i])


@pytest.mark.parametrize("name", ["peer-mlp", "peer-mlp-sam"])
def test_peer_only_never_touches_the_graph(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(_: EpisodeInputs) -> None:
        raise AssertionError("the graph was asked for")

    for part in ("block", "propagated"):
        monkeypatch.setattr(EpisodeInputs, part, property(refuse))
    monkeypatch.setattr(training, "evaluate_inputs", lambda *_: 50.0)
    assert run(graph, gpn(), name, episodes=4, validate_every=2).episode == [2, 4]
    with pytest.raises(AssertionError, match="asked for"):
        run(graph, gpn(), "adam", episodes=1)


def test_time_is_that_of_training_alone(graph: PreparedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only moves when something is done: a second a step, ten a draw, a thousand a validation."""
    now = [0.0]

    def taking(seconds: float, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            now[0] += seconds
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(training, "train_step", taking(1, training.train_step))
    monkeypatch.setattr(training, "evaluate_inputs", taking(1000, training.evaluate_inputs))
    monkeypatch.setattr(EpisodeSampler, "episode", taking(10, EpisodeSampler.episode))
    monkeypatch.setattr(PreparedGraph, "inputs", taking(0.25, PreparedGraph.inputs))
    monkeypatch.setattr(training, "_wait_for", taking(0.5, lambda device: None))  # a device that lags behind
    method, recipe = gpn(), RECIPES["adam"]
    validation = sampler(graph, (4, 5, 6)).take(2)
    history = meta_train(
        method,
        graph,
        recipe.build(method.parameters(), lr=0.01),
        recipe,
        sampler(graph),
        validation,
        schedule=Schedule(7, 3, 10),
        on_validation=taking(5000, lambda _: None),
    )
    assert history.episode == [3, 6, 7]
    assert history.seconds == [3 * 1.25 + 0.5, 6 * 1.25 + 1.0, 7 * 1.25 + 1.5]


def test_waiting_is_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    training._wait_for(torch.device("cpu"))
    assert not waited
    training._wait_for(torch.device("cuda", 1))
    assert waited == [torch.device("cuda", 1)]


class Spoilt(GPN):
    """A GPN whose loss is not finite in some passes."""

    bad: tuple[int, ...] = ()
    calls = 0

    def loss(self, inputs: EpisodeInputs, *, peer: bool = False, reduce: Reduce = torch.mean) -> Tensor:
        self.calls += 1
        factor = float("nan") if self.calls - 1 in self.bad else 1.0
        return super().loss(inputs, peer=peer, reduce=reduce) * factor


def test_skipped_steps_are_counted(graph: PreparedGraph) -> None:
    """Episodes 1 and 4 have a loss that is NaN: SAM skips them, the weights and the recorded losses stay finite."""
    torch.manual_seed(0)
    method = Spoilt(FEATURES, hidden=6)
    method.bad = (2, 7)  # the first pass of episode 1, whose second never runs, and of episode 4
    history = run(graph, method, "sam", episodes=6, validate_every=3)
    assert history.skipped_steps == 2
    assert all(torch.isfinite(p).all() for p in method.parameters())
    assert all(torch.isfinite(torch.tensor(history.loss)))
    assert run(graph, gpn(), "sam", episodes=3).skipped_steps == 0
    assert run(graph, gpn(), "adam", episodes=3).skipped_steps == 0


def test_training_that_has_gone_is_reported(graph: PreparedGraph) -> None:
    torch.manual_seed(0)
    method = Spoilt(FEATURES, hidden=6)
    method.bad = tuple(range(100))
    with pytest.raises(NonFiniteError, match="finite loss, found none in 3 steps up to episode 3; lower --lr"):
        run(graph, method, "sam", episodes=6, validate_every=3)
    method.calls = 0
    with pytest.raises(NonFiniteError, match="finite loss, found none in 3 steps up to episode 3; lower --lr"):
        run(graph, method, "adam", episodes=6, validate_every=3)
    assert all(torch.isfinite(p).all() for p in method.parameters())


def test_training_without_a_single_step_is_reported(graph: PreparedGraph) -> None:
    """The loss is finite, the gradient's norm is not: each step is skipped, and the weights are the initial ones."""

    class Steep(GPN):
        def loss(self, inputs: EpisodeInputs, *, peer: bool = False, reduce: Reduce = torch.mean) -> Tensor:
            return super().loss(inputs, peer=peer, reduce=reduce) * 1e30

    torch.manual_seed(0)
    with pytest.raises(NonFiniteError, match="finite gradients, found none in any step"):
        run(graph, Steep(FEATURES, hidden=6), "sam", episodes=4, validate_every=2)


def test_progress_is_told(graph: PreparedGraph) -> None:
    method, recipe, told = gpn(), RECIPES["adam"], []
    meta_train(
        method,
        graph,
        recipe.build(method.parameters(), lr=0.01),
        recipe,
        sampler(graph),
        sampler(graph, (4, 5, 6)).take(2),
        schedule=Schedule(5, 2, 10),
        on_validation=lambda history: told.append(history.episode[-1]),
    )
    assert told == [2, 4, 5]


@pytest.mark.parametrize(("name", "options"), [("fgsam", {}), ("fgsam+", {"k": 1}), ("fgsam+", {"k": 2, "alpha": 0.0})])
def test_without_the_gnn_it_is_the_peer_alone(graph: PreparedGraph, name: str, options: dict[str, float]) -> None:
    """At ``lam = rho = 0`` the base gets the peer's gradient and nothing else, which it must be able to take."""
    method, twin = gpn(dropout=0.0), gpn(dropout=0.0)
    optimizer = RECIPES[name].build(method.parameters(), lr=0.01, weight_decay=0.01, lam=0.0, rho=0.0, **options)
    other = RECIPES["peer-mlp"].build(twin.parameters(), lr=0.01, weight_decay=0.01)
    for episode in sampler(graph).take(5):
        train_step(method, graph.inputs(episode), optimizer, RECIPES[name])
        train_step(twin, graph.inputs(episode), other, RECIPES["peer-mlp"])
    for one, same in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-5, atol=1e-6)


def test_step_returns_the_loss(graph: PreparedGraph) -> None:
    for name, recipe in RECIPES.items():
        method = gpn(dropout=0.0)
        inputs = graph.inputs(toy_episode())
        expected = method.loss(inputs, peer=recipe.passes == "peer").item()
        found = train_step(method, inputs, recipe.build(method.parameters(), lr=0.01, total_steps=10), recipe)
        assert found.item() == pytest.approx(expected), name
        assert not found.requires_grad


@pytest.mark.parametrize("name", ["episodes", "validate_every", "patience"])
def test_schedule_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} >= 1, found 0"):
        Schedule(**{name: 0})


class Chooser(GPN):
    """A GPN that notes when it is asked to choose."""

    def choose(self, tasks: Sequence[EpisodeInputs]) -> None:
        assert not self.training
        self.asked = [*getattr(self, "asked", []), ([inputs.episode for inputs in tasks], copy.deepcopy(self.score))]


def test_a_method_chooses_at_the_start_and_before_each_validation(graph: PreparedGraph) -> None:
    method = Chooser(FEATURES, hidden=6)
    history = run(graph, method, episodes=6, validate_every=2)
    assert len(method.asked) == 1 + len(history.episode) == 4
    validation = sampler(graph, (4, 5, 6), seed=1).take(4)
    for episodes, _ in method.asked:
        assert all(torch.equal(a.query, b.query) for a, b in zip(episodes, validation, strict=True))
    weights = [score.weight for _, score in method.asked]
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(weights))  # after the steps in between


def test_a_step_on_several_episodes_takes_the_gradient_of_their_mean_loss(graph: PreparedGraph) -> None:
    episodes = sampler(graph).take(3)
    method, other = gpn(dropout=0.0).double(), gpn(dropout=0.0).double()
    graph = PreparedGraph.prepare(toy_dataset(dtype=torch.float64))
    inputs = [graph.inputs(episode) for episode in episodes]
    recipe = RECIPES["sgd"]
    loss = train_step(method, inputs, recipe.build(method.parameters(), lr=0.1), recipe)
    expected = torch.stack([other.loss(one, peer=False, reduce=torch.mean) for one in inputs]).mean()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for parameter, its in zip(method.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter, its - 0.1 * its.grad, rtol=1e-12, atol=1e-12)


def test_steps_of_a_schedule() -> None:
    """A step ends where a validation does: 11 episodes in fives are three steps, and 3 more are one."""
    schedule = Schedule(episodes=25, validate_every=11, meta_batch_size=5)
    assert [schedule.steps(count) for count in (0, 11, 22, 25)] == [0, 3, 6, 7]
    assert Schedule(episodes=7, validate_every=3).steps(7) == 7


def test_episodes_are_counted_not_steps(graph: PreparedGraph) -> None:
    history = run(graph, gpn(), episodes=12, validate_every=6, patience=5, meta_batch_size=4)
    assert history.episode == [6, 12]
    with pytest.raises(ValueError, match="meta_batch_size >= 1, found 0"):
        Schedule(meta_batch_size=0)
