"""The hyperbolic half of the demo: what is compared, and what the table says of it."""

from pathlib import Path

import pytest

from gsam.cli import demo_kg


def test_the_hyperbolic_half_is_a_fair_pair() -> None:
    """The same model, epochs, batches and negatives for both optimizers, on every seed."""
    runs = demo_kg.prepare(5, "cpu")
    settings = {run.config.optimizer: run.config.to_dict() for run in runs if run.config.seed == demo_kg.SEEDS[0]}
    assert set(settings) == {"radam", "lorentz-sam"}
    ours, theirs = settings["lorentz-sam"], settings["radam"]
    assert {name for name in ours if ours[name] != theirs[name]} <= {"optimizer", "lr", "rho", "groups"}
    for part, options in ours["groups"].items():
        assert {**options, "rho": 0} == {**theirs["groups"].get(part, {}), "rho": 0}
    assert sorted((run.config.optimizer, run.config.seed) for run in runs) == sorted(
        (optimizer, seed) for optimizer in settings for seed in demo_kg.SEEDS
    )


def results(seed: int, mrr: float, seconds: float) -> dict:
    both = {"mrr": mrr, "hits@1": mrr / 2, "hits@3": mrr, "hits@10": 1.0}
    return {"model": "hybonet", "optimizer": "radam", "test": {"both": both}, "epoch_seconds_median": seconds}


def test_a_row_has_the_means_over_seeds_and_the_range_of_the_mrr() -> None:
    found = demo_kg.row([results(2, 0.6, 0.25), results(3, 0.8, 0.75)])
    assert found == ["hybonet", "radam", "0.700 (0.600 to 0.800)", "0.350", "0.700", "1.000", "0.50"]
    assert len(found) == len(demo_kg.HEADER)


def test_each_run_has_a_folder_of_its_own() -> None:
    runs = demo_kg.prepare(1, "cpu")
    folders = [demo_kg.folder_of(run, Path("out")) for run in runs]
    assert len(set(folders)) == len(runs)
    assert folders[0] == Path("out/hybonet-radam/seed-2")


@pytest.mark.parametrize("optimizer", [name for name, _ in demo_kg.RUNS])
def test_hybonet_on_the_mammals_with_the_wanted_epochs(optimizer: str) -> None:
    found = [run for run in demo_kg.prepare(7, "cpu") if run.config.optimizer == optimizer]
    assert {(run.graph.name, run.config.model, run.config.epochs) for run in found} == {
        ("wordnet-mammals", "hybonet", 7)
    }
