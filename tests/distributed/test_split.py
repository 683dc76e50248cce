"""Tables whose rows are split over two processes, against whole tables in one.

In float64, as Adam makes a step of a rounding error where a gradient is next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch_geometric.nn.kge import ComplEx, DistMult, RotatE, TransE

from gsam.checkpoints import CheckpointError, Checkpoints
from gsam.distributed import ALONE, Ranks, Replica, RowSplit, SplitEmbedding, whole_state_dict
from gsam.kg import PROTOCOLS, KGConfig, KGRun, load_run, predict, rank, split_entities, with_reciprocals
from gsam.kg.groups import parameter_groups
from gsam.kg.losses import LossOptions
from gsam.kg.models import HyboNet, MuRE, MuRP, RotH
from gsam.kg.objective import Sampling
from gsam.kg.schedule import TrainingSchedule
from gsam.kg.training import train
from gsam.manifolds import manifold_groups
from gsam.optim import AESAM, SAM, LookSAM, StepGuard
from gsam.optim.recipes import RECIPES
from tests.distributed.test_training import Found, assert_close, assert_same_bits, found
from tests.kg.naive_ranking import GivenScores
from tests.kg.toy_graph import SIZE, toy_graph
from tests.processes import in_processes
from tests.resume import Dying, Killed

DOUBLE = torch.float64
ROWS, WIDTH = 7, 3  # three rows of the first process, four of the second
SAMPLES = [torch.tensor([[0, 6], [6, 1], [0, 0]]), torch.tensor([1, 2])]  # the second one asks the first one alone


# -- a lookup ----------------------------------------------------------------------------------------------------------


def table() -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(ROWS, WIDTH, sparse=True, dtype=DOUBLE)


def loss_of(rows: Tensor) -> Tensor:
    return rows.sin().sum(-1).square().mean()


def lookups(ranks: Ranks) -> Found:
    """Two lookups, of which the second has no rows for one of the processes."""
    split = RowSplit(ROWS, ranks)
    module = nn.ModuleDict({"table": SplitEmbedding(table(), split)})
    with split.one_pass((0.25, 0.75)[ranks.rank]):
        rows = module["table"](SAMPLES[ranks.rank])
        none = module["table"](SAMPLES[0][:0] if ranks.first else torch.tensor([3]))
        (loss_of(rows) + none.sum()).backward()
    with split.staying_home():
        own = module["table"](torch.arange(split.start, split.stop))
    weight = module["table"].weight
    return {
        "bounds": (split.start, split.stop),
        "rows": rows.detach(),
        "grad": weight.grad.to_dense(),
        "sparse": weight.grad.is_sparse,
        "at home": torch.equal(own, weight),
        "own": split.own(torch.tensor([6, 0, 2, 3, 6])),
        "whole": whole_state_dict(module),
    }


# -- training ----------------------------------------------------------------------------------------------------------

CASES = [
    "radam hybonet per-triple",
    "rsgd murp shared",
    "sgd mure shared",
    "lorentz-sam hybonet shared",
    "lorentz-sam-chart hybonet shared",
    "rsam murp per-triple",
    "rsam roth shared",
    "sam distmult shared",
    "ae-sam mure shared",
]
FEW = 463  # of 464 triples and reciprocals: in the second step there is one for two processes
FLAT: dict[str, Any] = {"sam": SAM, "ae-sam": lambda *args, **options: AESAM(*args, total_steps=24, **options)}
MODELS: dict[str, Callable[..., nn.Module]] = {
    "hybonet": lambda: HyboNet(SIZE, 8, 6, sparse=True, score_by="functional", max_norm=0.6),  # which is met
    "murp": lambda: MuRP(SIZE, 8, 6, sparse=True),
    "mure": lambda: MuRE(SIZE, 8, 6, sparse=True),
    "roth": lambda: RotH(SIZE, 8, 6, sparse=True),
    "distmult": lambda: DistMult(SIZE, 8, 6, sparse=True),
    "transe": lambda: TransE(SIZE, 8, 6, sparse=True),
    "complex": lambda: ComplEx(SIZE, 4, 6, sparse=True),
    "rotate": lambda: RotatE(SIZE, 4, 6, sparse=True),
}


def split_model(ranks: Ranks, name: str) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    split_entities(model, ranks)
    return model


def build_optimizer(model: nn.Module, name: str) -> torch.optim.Optimizer:
    if name in FLAT:
        optimizer: torch.optim.Optimizer = FLAT[name](parameter_groups(model, SGD, {}), SGD, lr=0.5, rho=0.3)
        return optimizer
    chosen = RECIPES[name]
    return chosen.build(parameter_groups(model, chosen.base, {}), lr=0.02)


def trained(ranks: Ranks, case: str, checkpoints: Checkpoints | None = None, *, batch: int = 58) -> Found:
    name, kind, negatives = case.split()
    model = split_model(ranks, kind)
    history = train(
        model,
        toy_graph(),
        build_optimizer(model, name),
        sampling=Sampling(batch_size=batch, num_negatives=7, negatives=negatives, own_head=True),
        schedule=TrainingSchedule(epochs=3, validate_every=1, average=0.9, max_grad_norm=0.3),
        loss=LossOptions("softmax"),
        checkpoints=checkpoints,
        ranks=ranks,
    )
    return {**found(model, history), "weights": whole_state_dict(model)}


def every_training(ranks: Ranks) -> dict[str, Found]:
    results = {case: trained(ranks, case) for case in CASES}
    return {**results, "few": trained(ranks, CASES[3], batch=FEW)}


# -- ranking -----------------------------------------------------------------------------------------------------------


def ranked(ranks: Ranks, name: str) -> Any:
    """Whole metrics by both protocols, of equal scores as well: half of the entities are copies of the others."""
    model, graph = split_model(ALONE, name), toy_graph()
    for table in (model.node_emb, getattr(model, "tail_bias", model.node_emb)):
        with torch.no_grad():
            table.weight[SIZE // 2 :] = table.weight[: SIZE // 2].clone()
    if hasattr(model, "prepare"):
        model.prepare(with_reciprocals(graph.train, 4))
    split_entities(model, ranks)
    return [rank(model, graph, "test", protocol=protocol, ranks=ranks).metrics() for protocol in PROTOCOLS]


def every_ranking(ranks: Ranks) -> dict[str, Any]:
    return {name: ranked(ranks, name) for name in MODELS}


# -- trouble -----------------------------------------------------------------------------------------------------------


def message_of(work: Callable[[], Any]) -> str:
    try:
        work()
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def spoilt(ranks: Ranks, name: str) -> Found:
    """An entity of the second process is no number: steps that meet it are skipped by both, and its rank is refused."""
    model = split_model(ranks, "hybonet")
    optimizer = build_optimizer(model, name)
    if not ranks.first:
        with torch.no_grad():
            model.node_emb.weight[-1] = torch.nan
    replica = Replica(model, ranks, optimizer)
    guard = StepGuard(model, optimizer, shards=replica.shards)

    def step(own: int) -> None:
        def closure() -> Tensor:
            model.zero_grad()
            loss = model(torch.tensor([0]), torch.tensor([0]), torch.tensor([own])).sum()
            loss.backward()
            return loss.detach()

        optimizer.step(guard.closure(replica.closure(closure, 0.5)))

    before = whole_state_dict(model)
    step(SIZE - 1 if ranks.first else 2)
    after, skipped = whole_state_dict(model), guard.skipped
    step(1)
    return {
        "skipped": (skipped, guard.skipped),
        "kept": all(torch.equal(after[key].nan_to_num(), value.nan_to_num()) for key, value in before.items()),
        "rank": message_of(lambda: rank(model, toy_graph(), "test", ranks=ranks)),
    }


def refused(ranks: Ranks) -> dict[str, str]:
    model = split_model(ranks, "hybonet")
    whole = split_model(ALONE, "hybonet")
    late = build_optimizer(whole, "radam")
    split_entities(whole, ranks)
    looking = LookSAM(parameter_groups(model, SGD, {}), SGD, lr=0.1, k=5)
    parts = RECIPES["rsam"].build(manifold_groups(model), lr=0.1, per="parameter")
    mixed = RECIPES["lorentz-sam"].build([{"params": [*model.parameters()]}], lr=0.1)
    all_negatives = Sampling(negatives="all")
    return {
        "late": message_of(lambda: Replica(whole, ranks, late)),
        "looksam": message_of(lambda: Replica(model, ranks, looking)),
        "per parameter": message_of(lambda: Replica(model, ranks, parts)),
        "mixed": message_of(lambda: Replica(model, ranks, mixed)),
        "local": message_of(lambda: Replica(model, Ranks(ranks.rank, 2, "local"), build_optimizer(model, "radam"))),
        "all": message_of(
            lambda: train(model, toy_graph(), build_optimizer(model, "radam"), sampling=all_negatives, ranks=ranks)
        ),
        "alone": message_of(lambda: Replica(model, ALONE, build_optimizer(model, "radam"))),
        "predict": message_of(lambda: predict(model, toy_graph(), head=0, relation=0)),
        "dense": message_of(lambda: split_entities(HyboNet(SIZE, 8, 6), ranks)),
        "forward": message_of(lambda: split_entities(GivenScores(torch.zeros(4, SIZE, SIZE)), ranks)),
        "few": message_of(lambda: split_entities(HyboNet(1, 8, 6, sparse=True), ranks)),
    }


# -- dying and going on ------------------------------------------------------------------------------------------------


def resumed(ranks: Ranks, folder: str) -> dict[str, Any]:
    case, place, deaths = "lorentz-sam-chart hybonet shared", Path(folder) / "run", 0
    notes: list[str] = []
    results: dict[str, Any] = {"whole": trained(ranks, case), "notes": notes}
    while "again" not in results:
        torch.manual_seed(1000 + deaths)
        try:
            results["again"] = trained(ranks, case, Dying(place, 7, ranks, apart=True, on_note=notes.append))
        except Killed:
            deaths += 1
            _disturb(ranks, place, deaths)
            results[f"left {deaths}"] = sorted(str(path.relative_to(place)) for path in place.rglob("*.pt"))
            ranks.gather(None)
    results["deaths"] = deaths
    results["as one"] = message_of(lambda: trained(ranks, case, Checkpoints(place, ranks=ranks)))
    whole = nn.Linear(1, 1)
    restore = Checkpoints(place, ranks=ranks).restore
    results["whole model"] = message_of(lambda: restore(whole, SGD(whole.parameters())))
    ranks.gather(None)  # both have looked
    Checkpoints(place, ranks=ranks, apart=True).remove()
    ranks.gather(None)
    results["removed"] = not place.exists()
    return results


def _disturb(ranks: Ranks, place: Path, deaths: int) -> None:
    """After the first death the second process has not written its last checkpoint, after the second it is damaged."""
    last = place / "rank-1" / "last.pt"
    ranks.gather(None)
    if ranks.rank == 1 and deaths == 1:
        last.unlink()
    if ranks.rank == 1 and deaths == 2:
        last.write_bytes(last.read_bytes()[:-100])
    ranks.gather(None)


class Full(Checkpoints):
    """No room for the checkpoints of the second process."""

    def _write(self, *args: Any) -> None:
        if not self.ranks.first:
            raise CheckpointError("no room")
        super()._write(*args)


def half_written(ranks: Ranks, folder: str) -> dict[str, Any]:
    """Twice in a row, the checkpoint of the first process alone is written; and so it is at the very beginning."""
    model = split_model(ranks, "mure")
    optimizer = build_optimizer(model, "sgd")

    def go_on(kind: type[Checkpoints], step: int, place: str) -> tuple[Any, str]:
        checkpoints = kind(Path(folder) / place, ranks=ranks, apart=True)
        ranks.gather(None)
        before = checkpoints.restore(model, optimizer)
        told = message_of(lambda: checkpoints.save(model, optimizer, {"step": step}))
        ranks.gather(None)
        return before, told

    later = [
        go_on(kind, step, "later") for step, kind in enumerate([Checkpoints, Checkpoints, Full, Full, Checkpoints])
    ]
    first = [go_on(kind, step, "first") for step, kind in enumerate([Full, Checkpoints])]
    return {"later": later, "first": first}


# -- a run -------------------------------------------------------------------------------------------------------------


def recorded(ranks: Ranks, folder: str) -> dict[str, Any]:
    options: dict[str, Any] = {"dim": 4, "epochs": 2, "batch_size": 58, "num_negatives": 8, "validate_every": 1}
    run = KGRun(KGConfig("toy", optimizer="rsam", **options), toy_graph(), ranks=ranks, split_tables=True)
    return run.record(Path(folder) / "recorded", checkpoint_every=0)


# -- what they found ---------------------------------------------------------------------------------------------------


def everything(ranks: Ranks, folder: str) -> dict[str, Any]:
    return {
        "lookups": lookups(ranks),
        "training": every_training(ranks),
        "ranking": every_ranking(ranks),
        **{f"spoilt {name}": spoilt(ranks, name) for name in ("radam", "lorentz-sam")},
        "refused": refused(ranks),
        "resumed": resumed(ranks, folder),
        "half written": half_written(ranks, folder),
        "recorded": recorded(ranks, folder),
        "folder": folder,
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All in one start of the processes, which takes longest."""
    folder = tmp_path_factory.mktemp("split")
    return in_processes(everything, folder / "out", str(folder))


def test_lookups_and_gradients_are_those_of_the_whole_table(results: list[dict[str, Any]]) -> None:
    whole = table()
    loss = sum(
        weight * (loss_of(whole(samples)) + none)
        for weight, samples, none in zip((0.25, 0.75), SAMPLES, (0.0, whole(torch.tensor([3])).sum()), strict=True)
    )
    loss.backward()  # type: ignore[union-attr]
    for result, samples in zip((result["lookups"] for result in results), SAMPLES, strict=True):
        start, stop = result["bounds"]
        assert torch.equal(result["rows"], whole(samples))
        assert result["sparse"]
        torch.testing.assert_close(result["grad"], whole.weight.grad.to_dense()[start:stop], rtol=1e-12, atol=1e-12)
        assert result["at home"]
    assert [result["lookups"]["bounds"] for result in results] == [(0, 3), (3, 7)]
    assert [result["lookups"]["own"].tolist() for result in results] == [[0, 2], [3, 0, 3]]
    first, second = (result["lookups"]["whole"] for result in results)
    assert torch.equal(first["table.weight"], whole.weight)
    assert second == {}


@pytest.mark.parametrize("case", [*CASES, "few"])
def test_training_is_that_of_whole_tables(results: list[dict[str, Any]], case: str) -> None:
    first, second = (result["training"][case] for result in results)
    assert first["history"] == second["history"]
    expected = trained(ALONE, CASES[3], batch=FEW) if case == "few" else trained(ALONE, case)
    assert_close(first, expected, 1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_ranks_are_those_of_whole_tables(results: list[dict[str, Any]], name: str) -> None:
    first, second = (result["ranking"][name] for result in results)
    assert first == second == ranked(ALONE, name)


@pytest.mark.parametrize("name", ["radam", "lorentz-sam"])
def test_processes_skip_a_step_together(results: list[dict[str, Any]], name: str) -> None:
    for result in (result[f"spoilt {name}"] for result in results):
        assert result["skipped"] == (1, 1)
        assert result["kept"]
        assert result["rank"].startswith("NonFiniteScoreError: expected finite scores, found NaN")


def test_what_needs_whole_tables_is_refused(results: list[dict[str, Any]]) -> None:
    for result in (result["refused"] for result in results):
        for name, words in {
            "late": "optimizer of the split tables, found one without head_bias; split them first",
            "looksam": "found LookSAM that compares gradients",
            "per parameter": "or per='parameter'",
            "mixed": "parameter groups of shards alone or without any",
            "local": "expected ascent='global' with tables that are split",
            "all": "expected negatives 'shared' or 'per-triple' with tables that are split",
            "alone": "expected the 2 processes that the tables are split over, found 1",
            "predict": "found None for all with tables that are split",
            "dense": "expected a table with row-sparse gradients",
            "forward": "found GivenScores, which scores pairs one by one",
            "few": "expected a row for each of the 2 processes, found 1",
        }.items():
            assert words in result[name], name


def test_processes_that_die_go_on_with_their_own_rows(results: list[dict[str, Any]]) -> None:
    for result in (result["resumed"] for result in results):
        assert result["deaths"] >= 3
        assert_same_bits(result["again"], result["whole"])
        files = [f"rank-{rank}/{name}.pt" for rank in range(2) for name in ("last", "previous")]
        assert result["left 1"] == [name for name in files if name != "rank-1/last.pt"]
        assert result["left 2"] == files
        assert "expected Checkpoints(..., apart=True) for tables that are split" in result["as one"]
        assert "expected one for all processes in" in result["whole model"]
        assert result["removed"]
    first, second = (result["resumed"]["notes"] for result in results)
    assert (len(first), len(second)) == (0, 1)
    assert "going on from the one before" in second[0]


def test_a_step_that_one_process_has_not_kept_is_none_to_go_on_from(results: list[dict[str, Any]]) -> None:
    for result in (result["half written"] for result in results):
        assert [before for before, _ in result["later"]] == [None, *({"step": step} for step in (0, 1, 1, 1))]
        assert [before for before, _ in result["first"]] == [None, None]
        told = [told for _, told in (*result["later"], *result["first"])]
        assert told == [
            "nothing",
            "nothing",
            *["CheckpointError: no room"] * 2,
            "nothing",
            "CheckpointError: no room",
            "nothing",
        ]


def test_a_recorded_run_has_whole_tables(results: list[dict[str, Any]]) -> None:
    for result in (result["recorded"] for result in results):
        folder = Path(results[0]["folder"]) / "recorded"
        opened = load_run(folder)
        assert opened.model.node_emb.weight.shape == (SIZE, 5)
        assert rank(opened.model, toy_graph(), "test").metrics() == result["test"]
        told = {name: result["environment"][name] for name in ("processes", "ascent", "split_tables")}
        assert told == {"processes": 2, "ascent": "global", "split_tables": True}
        assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("changes", "ranks", "words"),
    [
        ({"optimizer": "adam"}, ALONE, "expected row-sparse gradients for tables that are split"),
        ({"negatives": "all"}, ALONE, "expected row-sparse gradients for tables that are split"),
        ({"optimizer": "rsam", "options": {"per": "parameter"}}, ALONE, "or per='parameter'"),
        ({}, Ranks(0, 2, "local"), "expected ascent 'global' with tables that are split"),
    ],
)
def test_a_run_that_needs_whole_tables_is_refused(changes: dict[str, Any], ranks: Ranks, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KGRun(KGConfig("toy", **changes), toy_graph(), ranks=ranks, split_tables=True)
