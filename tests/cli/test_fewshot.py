"""``gsam fewshot run`` from outside: what it writes, and that bad input costs one line and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from gsam.fewshot.registry import LINES

KEYS = {
    "dataset",
    "method",
    "optimizer",
    "setting",
    "hyperparameters",
    "accuracy_mean",
    "accuracy_ci95",
    "seconds_per_200_episodes",
    "baseline",
    "per_seed",
    "environment",
}


def test_run_writes_results(gsam, tiny: Path, quick, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = gsam("fewshot", "run", "--dataset", tiny, *quick, "--optimizer", "fgsam+", "--seeds", "0,1", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "sgc-prototype" in done.stdout
    assert "seed 1: test accuracy" in done.stderr
    results = json.loads((out / "results.json").read_text())
    assert set(results) >= KEYS
    assert results["setting"] == {"ways": 2, "shots": 3, "queries": 10, "split": "3,3,3"}
    assert [record["seed"] for record in results["per_seed"]] == [0, 1]
    assert results["accuracy_mean"] == pytest.approx(np.mean([r["test_accuracy"] for r in results["per_seed"]]))
    assert list(results["baseline"]) == [name.replace("-", "_") for name in LINES]
    assert (out / "seed-0" / "model.pt").exists()


def test_a_baseline_is_shown_once_and_names_no_optimizer(gsam, tiny: Path, quick, tmp_path: Path) -> None:
    done = gsam("fewshot", "run", "--dataset", tiny, *quick, "--method", "sgc-prototype", "--out", tmp_path / "out")
    assert "sgc-prototype seed 0: test accuracy" in done.stderr
    assert done.stdout.count("sgc-prototype") == 1


def test_quiet_says_nothing(gsam, tiny: Path, quick, tmp_path: Path) -> None:
    done = gsam("fewshot", "run", "--dataset", tiny, *quick, "--quiet", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_resume_keeps_finished_seeds_and_gives_the_same_result(inside, tiny: Path, quick, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ("fewshot", "run", "--dataset", tiny, *quick, "--quiet")
    inside(*command, "--seeds", "0,1", "--out", whole)
    inside(*command, "--seeds", "0", "--out", parts)
    refused = inside(*command, "--seeds", "0,1", "--out", parts)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    other = inside(*command, "--seeds", "0,1", "--lr", "0.5", "--resume", "--out", parts)
    assert (other.returncode, "lr" in other.stderr) == (2, True)
    assert inside(*command, "--seeds", "0,1", "--resume", "--out", parts).returncode == 0
    found, expected = (json.loads((folder / "results.json").read_text())["per_seed"] for folder in (parts, whole))
    for one, other_one in zip(found, expected, strict=True):
        assert {**one, "train_seconds": 0} == {**other_one, "train_seconds": 0}


def test_force_replaces_a_run_but_never_a_folder_of_something_else(inside, tiny: Path, quick, tmp_path: Path) -> None:
    command = ("fewshot", "run", "--dataset", tiny, *quick, "--quiet", "--force", "--out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = inside(*command, tmp_path / "mine")
    assert refused.returncode == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert inside(*command, tmp_path / "out").returncode == 0
    assert inside(*command, tmp_path / "out").returncode == 0


def nan_feature(arrays: dict) -> None:
    arrays["attr_data"][0] = np.nan


def label_out_of_range(arrays: dict) -> None:
    arrays["labels"] = arrays["labels"] - 5


def missing_node(arrays: dict) -> None:
    arrays["adj_indices"][0] = 10_000


def too_small_class(arrays: dict) -> None:
    arrays["labels"] = np.where(np.arange(arrays["labels"].size) < 170, 0, np.arange(arrays["labels"].size) % 9)


def missing_key(arrays: dict) -> None:
    del arrays["attr_indptr"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (nan_feature, "finite"),
        (label_out_of_range, "label"),
        (missing_node, "10000"),
        (too_small_class, "nodes in every class"),
        (missing_key, "attr_indptr"),
    ],
)
def test_bad_data_is_one_line_and_nothing_written(inside, arrays, quick, tmp_path: Path, spoil, words: str) -> None:
    spoil(arrays)
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    done = inside("fewshot", "run", "--dataset", path, *quick, "--out", tmp_path / "out")
    assert_refused(done, words, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dataset", "nope"), "wordnet"),
        (("--method", "nope"), "gpn"),
        (("--optimizer", "nope"), "fgsam+"),
        (("--optimizer", "adam", "--rho", "0.1"), "rho"),
        (("--split", "nope"), "5,5,5"),
        (("--split", "9,9,9"), "at most 9 classes"),
        (("--split", "absent.json"), "absent.json"),
        (("--shots", "0"), "shots"),
        (("--ways", "4"), "4-way"),
        (("--seeds", "x"), "--seeds"),
        (("--lr", "-1"), "lr"),
        (("--max-skipped", "0"), "max_skipped"),
        (("--max-neighbors", "0"), "max_neighbors"),
        (("--checkpoint-every", "-1"), "--checkpoint-every"),
        (("--preset", "nope"), "preset"),
        (("--device", "abacus"), "device"),
        (("--threads", "0"), "threads"),
        (("--nope",), "--nope"),
        (("--shots", "many"), "--shots"),
    ],
)
def test_bad_options_are_one_line_and_nothing_written(inside, tiny, quick, tmp_path, options, words: str) -> None:
    done = inside("fewshot", "run", "--dataset", tiny, *quick, *options, "--out", tmp_path / "out")
    assert_refused(done, words, tmp_path / "out")


def test_truncated_file(gsam, tiny: Path, quick, tmp_path: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:2000])
    done = gsam("fewshot", "run", "--dataset", tiny, *quick, "--out", tmp_path / "out")
    assert_refused(done, "tiny.npz", tmp_path / "out")


def assert_refused(done, words: str, out: Path) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr
    assert not out.exists()
