from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from gsam.checkpoints import Checkpoints
from gsam.datasets.knowledge_graph import KnowledgeGraph
from gsam.fewshot import NonFiniteError
from gsam.kg import training
from gsam.kg.config import KGConfig
from gsam.kg.groups import parameter_groups
from gsam.kg.losses import LossOptions
from gsam.kg.models import HyboNet, MuRE
from gsam.kg.objective import Objective, Sampling
from gsam.kg.schedule import TrainingSchedule
from gsam.kg.training import TrainingHistory, train
from gsam.kg.triples import with_reciprocals
from gsam.optim import SAM, TooManySkippedError
from gsam.optim.riemannian_adam import RiemannianAdam
from tests.kg.toy_graph import SIZE, toy_graph
from tests.resume import assert_resumes

SMALL = Sampling(batch_size=16, num_negatives=7)
State = dict[str, Tensor]


def model(kind: type[nn.Module] = MuRE, *, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return kind(SIZE, 8, 6, **options)


def learn(found: nn.Module, optimizer: torch.optim.Optimizer | None = None, **options: Any) -> TrainingHistory:
    options = {"graph": toy_graph(), "sampling": SMALL, **options}
    optimizer = optimizer or torch.optim.Adam(found.parameters(), lr=0.01)
    return train(found, options.pop("graph"), optimizer, **options)


def epochs(count: int, **options: Any) -> TrainingSchedule:
    return TrainingSchedule(epochs=count, validate_every=1, **options)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Script:
    """Stands in for ``rank``: gives scripted MRRs and keeps the weights it saw."""

    def __init__(self, mrrs: list[float]) -> None:
        self.mrrs, self.seen = mrrs, []  # type: tuple[list[float], list[State]]

    def __call__(self, model: nn.Module, graph: KnowledgeGraph, split: str, **_: Any) -> Script:
        assert split == "valid"
        assert not model.training
        self.seen.append(copy.deepcopy(model.state_dict()))
        return self

    def metrics(self) -> dict[str, dict[str, float]]:
        mrr = self.mrrs[len(self.seen) - 1]
        return {"both": {"mrr": mrr, "hits@1": mrr / 2, "hits@3": mrr, "hits@10": 1.0}}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*mrrs: float) -> Script:
        script = Script(list(mrrs))
        monkeypatch.setattr(training, "rank", script)
        return script

    return use


def naive_losses(found: nn.Module, batch: Any, entities: Tensor, true: set[tuple[int, ...]], loss: str) -> Tensor:
    """Every score by a call of the model, every known triple looked up."""
    losses = []
    for i in range(len(batch)):
        head, relation, tail = batch.head[i : i + 1], batch.relation[i : i + 1], batch.tail[i : i + 1]
        positive = found(head, relation, tail)[0]
        own = entities if entities.dim() == 1 else entities[i]
        real = [e for e in own.tolist() if (int(head), int(relation), e) not in true]
        negative = [found(head, relation, torch.tensor([e]))[0] for e in real]
        if loss == "bce":
            losses.append(F.softplus(-positive) + 5.0 / len(own) * sum(F.softplus(n) for n in negative))
        else:
            parts = torch.stack([positive.exp(), *(SIZE / len(own) * n.exp() for n in negative)])
            losses.append(parts.sum().log() - positive)
    return torch.stack(losses)


@pytest.mark.parametrize("loss", ["bce", "softmax"])
@pytest.mark.parametrize("negatives", ["shared", "per-triple", "all"])
def test_equals_a_loop_by_hand(scripted: Any, negatives: str, loss: str) -> None:
    """Two epochs of Adam on naive scores, with the batches and negatives of the same seed."""
    scripted(0.1, 0.2)
    graph = toy_graph(train=toy_graph().train[::6])
    sampling = Sampling(batch_size=20, negatives=negatives, num_negatives=5, seed=3)
    options = LossOptions(loss, negative_weight=5.0 if loss == "bce" else None)
    found = model().double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    by_hand = copy.deepcopy(found)
    learn(found, graph=graph, sampling=sampling, loss=options, schedule=epochs(2, learning_rate="linear"))

    triples = with_reciprocals(graph.train, 4)
    true = {tuple(row) for row in triples.tolist()}
    batches, sampler = sampling.build(triples, SIZE, 8)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.01)
    for step in range(2 * len(batches)):
        if step % len(batches) == 0:
            order = iter(batches.epoch())
        batch = next(order)
        drawn = sampler.draw(batch).entities
        entities = torch.arange(SIZE) if drawn is None else drawn[..., :-1]
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / (2 * len(batches)))
        optimizer.zero_grad()
        naive_losses(by_hand, batch, entities, true, loss).mean().backward()
        optimizer.step()
    for name, value in by_hand.state_dict().items():
        assert_close(found.state_dict()[name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("mrrs", "patience", "ran", "best"),
    [
        ([0.5, 0.6, 0.6, 0.55, 0.58, 0.99], 3, 5, 1),  # a tie is no improvement, and the first of the best counts
        ([0.5, 0.6, 0.6, 0.61, 0.58, 0.59, 0.6], 3, 7, 3),
        ([0.5, 0.4, 0.4], 1, 2, 0),
        ([0.8, 0.7, 0.6, 0.5], 20, 4, 0),
        ([0.1, 0.2, 0.3, 0.4], 1, 4, 3),
    ],
)
def test_early_stop_keeps_the_best(scripted: Any, mrrs: list[float], patience: int, ran: int, best: int) -> None:
    script, found = scripted(*mrrs), model()
    history = learn(found, schedule=epochs(len(mrrs), patience=patience))
    assert len(script.seen) == ran
    assert history.epoch == list(range(1, ran + 1))
    assert history.mrr == mrrs[:ran]
    assert history.hits["hits@1"] == [mrr / 2 for mrr in mrrs[:ran]]
    assert history.best == best
    assert same(found.state_dict(), script.seen[best])
    assert not same(found.state_dict(), script.seen[best - 1 if best else 1])
    assert not found.training


def test_when_it_looks(scripted: Any) -> None:
    script, told = scripted(0.1, 0.2, 0.3), []

    def progress(history: TrainingHistory) -> None:
        told.append((len(history.epoch_seconds), history.mrr[-1:]))

    history = learn(model(), schedule=TrainingSchedule(epochs=7, validate_every=3), on_epoch=progress)
    assert history.epoch == [3, 6, 7]
    assert told == [(1, []), (2, []), (3, [0.1]), (4, [0.1]), (5, [0.1]), (6, [0.2]), (7, [0.3])]
    assert history.loss == pytest.approx([sum(history.epoch_loss[a:b]) / (b - a) for a, b in ((0, 3), (3, 6), (6, 7))])
    assert history.seconds == pytest.approx([sum(history.epoch_seconds[:n]) for n in (3, 6, 7)])
    assert len(script.seen) == 3


def test_time_ends_training_after_the_epoch(scripted: Any) -> None:
    script = scripted(0.1)
    history = learn(model(), schedule=TrainingSchedule(epochs=50, validate_every=10, max_seconds=1e-6))
    assert history.epoch == [1]
    assert len(script.seen) == 1


@pytest.mark.parametrize("negatives", ["shared", "per-triple", "all"])
@pytest.mark.parametrize("name", ["radam", "lorentz-sam"])
def test_same_seed_same_weights_bit_for_bit(name: str, negatives: str) -> None:
    def weights(seed: int) -> State:
        options: Any = {"negatives": negatives, "num_negatives": 7, "batch_size": 50, "options": {"dropout": 0.2}}
        config = KGConfig("toy", optimizer=name, dim=4, epochs=3, validate_every=3, seed=seed, **options)
        torch.manual_seed(config.seed)
        found = config.build_model(SIZE, 4)
        train(
            found,
            toy_graph(),
            config.build_optimizer(found, 12),
            sampling=config.sampling,
            schedule=config.training_schedule,
        )
        return found.state_dict()

    assert same(weights(0), weights(0))
    assert not same(weights(0), weights(1))


def test_only_training_triples_teach(scripted: Any) -> None:
    """Other validation and test triples change neither steps nor negatives."""
    found = []
    for graph in (toy_graph(), toy_graph(valid=toy_graph().test, test=toy_graph().valid[:3])):
        scripted(0.1, 0.2)
        found.append(model(HyboNet))
        learn(found[-1], graph=graph, schedule=epochs(2))
    assert same(found[0].state_dict(), found[1].state_dict())


def test_passes_of_a_step_see_the_same_batch_and_negatives(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(0.1)
    seen: list[tuple[Any, Any]] = []
    real = Objective.losses

    def losses(self: Objective, batch: Any, negatives: Any) -> Tensor:
        seen.append((batch, negatives))
        return real(self, batch, negatives)

    monkeypatch.setattr(Objective, "losses", losses)
    found = model()
    learn(found, SAM(found.parameters(), torch.optim.Adam, lr=0.01, rho=0.1), schedule=epochs(1))
    steps = -(-2 * len(toy_graph().train) // 16)
    assert len(seen) == 2 * steps
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert first[0] is second[0]
        assert first[1] is second[1]
    assert len({id(pair[1]) for pair in seen}) == steps


def test_gradients_are_clipped(scripted: Any) -> None:
    """With SGD at rate 1 a step is as long as the clipped gradient."""
    for wrap in (False, True):
        scripted(0.1)
        found = model()
        before = copy.deepcopy(found.state_dict())
        optimizer: torch.optim.Optimizer = torch.optim.SGD(found.parameters(), lr=1.0)
        if wrap:
            optimizer = SAM(found.parameters(), optimizer, rho=0.1)
        everything = Sampling(batch_size=10_000, num_negatives=7)
        learn(found, optimizer, sampling=everything, schedule=epochs(1, max_grad_norm=1e-3))
        moved = sum(float((value - before[name]).square().sum()) for name, value in found.state_dict().items())
        assert math.sqrt(moved) == pytest.approx(1e-3, rel=1e-3)


def test_learning_rates_of_groups_keep_their_ratio(scripted: Any) -> None:
    scripted(0.1, 0.2)
    found = model()
    first, *others = found.parameters()
    optimizer = torch.optim.Adam([{"params": [first], "lr": 0.1}, {"params": others}], lr=0.01)
    learn(found, optimizer, schedule=epochs(2, learning_rate="linear"))
    steps = 2 * -(-2 * len(toy_graph().train) // 16)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 / steps, 0.01 / steps])


def test_the_average_is_validated_and_kept(scripted: Any) -> None:
    """Learning with and without an average takes the same steps, but keeps other weights."""
    kept = []
    for average in (0.0, 0.5):
        script = scripted(0.1, 0.2)
        found = model(HyboNet)
        history = learn(found, schedule=epochs(2, average=average))
        assert same(found.state_dict(), script.seen[1])
        kept.append((history.epoch_loss, found.state_dict()))
    assert kept[0][0] == kept[1][0]
    assert not same(kept[0][1], kept[1][1])


def test_entities_stay_within_the_model_limits(scripted: Any) -> None:
    """Every row, whether only those that a step touched move or all of them, by momentum."""
    for negatives, sparse in (("shared", True), ("shared", False), ("all", False)):
        scripted(0.1, 0.2, 0.3)
        found = model(HyboNet, max_norm=0.3, sparse=sparse)
        groups = parameter_groups(found, RiemannianAdam, {})
        learn(found, RiemannianAdam(groups, lr=0.05), sampling=Sampling(16, negatives, 3), schedule=epochs(3))
        space = found.node_emb.weight.detach()[:, 1:]
        assert space.norm(dim=1).max() <= 0.3 * (1 + 1e-5)
        assert space.norm(dim=1).max() > 0.29


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hybonet", {"loss": "softmax"}),
        ("hybonet", {"optimizer": "lorentz-sam", "rho": 0.3, "negative_weight": 5.0, "average": 0.9}),
        ("roth", {"optimizer": "adam", "negatives": "all", "loss": "softmax", "label_smoothing": 0.1}),
        ("complex", {"negatives": "per-triple", "loss": "self-adversarial", "n3": 1e-3}),
    ],
)
def test_a_toy_graph_is_learnt(name: str, options: dict[str, Any]) -> None:
    """Its missing triples follow from the others; guessing gives an MRR of about .17."""
    options = {"dim": 8, "lr": 0.1, "num_negatives": 12, "batch_size": 64, "epochs": 16, "validate_every": 4, **options}
    config, graph = KGConfig("toy", name, **options), toy_graph()
    torch.manual_seed(config.seed)
    found = config.build_model(SIZE, 4)
    history = train(
        found,
        graph,
        config.build_optimizer(found, 1000),
        sampling=config.sampling,
        loss=config.loss_options,
        schedule=config.training_schedule,
    )
    assert max(history.mrr) > 0.8
    assert training.rank(found, graph, "test").metrics()["both"]["mrr"] > 0.8
    assert training.rank(found, graph, "valid").metrics()["both"]["mrr"] == max(history.mrr)


class Spoilt(nn.Module):
    """A loss that is NaN in some calls."""

    def __init__(self, bad: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        real, calls = Objective.losses, [0]

        def losses(objective: Objective, batch: Any, negatives: Any) -> Tensor:
            calls[0] += 1
            return real(objective, batch, negatives) * (math.nan if calls[0] - 1 in bad else 1.0)

        monkeypatch.setattr(Objective, "losses", losses)


def test_skipped_steps_are_counted_and_their_losses_left_out(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(0.1, 0.2)
    Spoilt({2, 5}, monkeypatch)  # the first pass of the second step, whose second never runs, and of the fourth
    found = model()
    history = learn(found, SAM(found.parameters(), torch.optim.Adam, lr=0.01), schedule=epochs(2))
    assert history.skipped_steps == 2
    assert all(map(math.isfinite, history.epoch_loss))
    assert all(torch.isfinite(p).all() for p in found.parameters())


def test_training_that_diverged_is_reported(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(0.1)
    Spoilt(set(range(10_000)), monkeypatch)
    with pytest.raises(NonFiniteError, match="expected a finite loss, found none in epoch 1; lower --lr"):
        learn(model(), schedule=epochs(3))


def test_training_without_a_single_step_is_reported(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite losses whose gradients are not."""
    scripted(0.1)

    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
            return grad * math.inf

    real = Objective.losses
    monkeypatch.setattr(Objective, "losses", lambda *given: Root.apply(real(*given)))
    found = model()
    with pytest.raises(
        NonFiniteError, match="expected finite gradients, found none in the 29 steps so far; lower --lr"
    ):
        learn(found, SAM(found.parameters(), torch.optim.Adam, lr=0.01), schedule=epochs(3))


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"24 entities and 8 relation types .* found 24 and 4"):
        learn(MuRE(SIZE, 4, 6))
    with pytest.raises(ValueError, match="expected validation triples"):
        learn(model(), graph=toy_graph(valid=toy_graph().valid[:0]))


# -- stopped and resumed -----------------------------------------------------------------------------------------------

RUNS: dict[str, dict[str, Any]] = {
    "radam": {"optimizer": "radam"},
    "rsgd": {"optimizer": "rsgd", "lr": 0.1},
    "lorentz-sam": {"optimizer": "lorentz-sam", "rho": 0.1, "max_grad_norm": 1.0},
    "rsam of roth": {"optimizer": "rsam", "model": "roth", "rho": 0.1, "schedule": "cosine"},
    "adam, averaged": {"optimizer": "adam", "average": 0.9, "schedule": "linear", "warmup_steps": 5},
    "sam, dropout": {"optimizer": "sam", "rho": 0.1, "options": {"dropout": 0.2}, "own_head": True},
    "esam, per triple": {"optimizer": "esam", "negatives": "per-triple"},
    "adagrad, all": {"optimizer": "adagrad", "negatives": "all", "model": "complex"},
}


@pytest.mark.parametrize("lives", [1, 7])
@pytest.mark.parametrize("name", RUNS)
def test_a_training_that_dies_ends_as_if_it_had_not(name: str, lives: int, tmp_path: Path) -> None:
    """It dies in the middle of epochs, at their ends and between validations."""
    graph = toy_graph()
    settings = {"dim": 4, "epochs": 3, "validate_every": 2, "batch_size": 128, "num_negatives": 5, "lr": 0.01}
    config = KGConfig("toy", **{**settings, **RUNS[name]})

    def learnt(checkpoints: Checkpoints | None) -> tuple[nn.Module, TrainingHistory]:
        torch.manual_seed(3)
        found = config.build_model(graph.num_entities, graph.num_relations)
        optimizer = config.build_optimizer(found, total_steps=50)
        torch.manual_seed(5 if checkpoints is None or not checkpoints.last.exists() else 77)
        history = train(
            found,
            graph,
            optimizer,
            sampling=config.sampling,
            loss=config.loss_options,
            schedule=config.training_schedule,
            checkpoints=checkpoints,
        )
        return found, history

    assert_resumes(learnt, tmp_path, lives, least_deaths=1)


def test_too_many_skipped_steps_end_training_and_name_the_parameter() -> None:
    found = model()
    for parameter in found.parameters():
        parameter.register_hook(lambda grad: grad * math.nan)
    with pytest.raises(TooManySkippedError, match=r"none in 4 steps in a row, .* in the gradient of head_b"):
        learn(found, schedule=epochs(3, max_skipped=4))
    assert all(parameter.isfinite().all() for parameter in found.parameters())
