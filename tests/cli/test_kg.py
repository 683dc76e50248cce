"""``gsam kg`` from outside: what it writes and prints, and that bad input costs one line and nothing else."""

import dataclasses
import inspect
import json
from pathlib import Path

import pytest

from gsam.cli.kg import train
from gsam.datasets import load_knowledge_graph
from gsam.kg import KGConfig, KGRun, configure, load_run
from tests.cli.kg_runs import QUICK, Command, assert_refused

KEYS = {
    *("dataset", "model", "optimizer", "seed", "hyperparameters", "num_entities", "num_relations", "protocol"),
    *("test", "valid", "test_hybonet", "epochs_run", "epoch_seconds_median", "train_seconds", "eval_seconds"),
    "environment",
}
TIMES = {"epoch_seconds_median", "train_seconds", "eval_seconds", "validation_seconds", "environment"}


def test_train_writes_what_the_python_interface_gives(trained: Path) -> None:
    results = json.loads((trained / "results.json").read_text())
    assert set(results) >= KEYS
    chosen = {"dim": 4, "epochs": 3, "batch_size": 64, "num_negatives": 8, "validate_every": 2}
    dataset = trained.parent / "toy"
    run = KGRun(configure(str(dataset), **chosen), load_knowledge_graph(dataset))
    expected = run.record()
    for name in set(expected) - TIMES:
        assert results[name] == expected[name], name
    for picture in ("embedding.png", "learning_curve.png"):
        assert (trained / picture).read_bytes()[:4] == b"\x89PNG"


def test_options_reach_model_loss_sampling_optimizer_and_groups(kg: Command, toy: Path, tmp_path: Path) -> None:
    options = (
        *("--optimizer", "lorentz-sam", "--rho", "0.1", "--negatives", "all", "--loss", "softmax", "--lr", "0.02"),
        *("--label-smoothing", "0.1", "--score-scale", "2", "--schedule", "cosine", "--warmup-steps", "2"),
        *("--average", "0.5", "--max-grad-norm", "3", "--weight-decay", "0.001", "--patience", "7", "--n3", "0"),
        *(
            "--max-seconds",
            "1000",
            "--no-filter-negatives",
            "--own-head",
            "--no-sparse",
            "--seed",
            "5",
            "--threads",
            "1",
        ),
        *("--option", "max_norm=none", "--option", "margin=4.0", "--option", "relations.weight_decay=0.5"),
        *("--option", "transport=false"),
    )
    done = kg("train", "--dataset", toy, *QUICK, *options, "--quiet", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    expected = {
        "optimizer": "lorentz-sam",
        "rho": 0.1,
        "negatives": "all",
        "loss": "softmax",
        "lr": 0.02,
        "seed": 5,
        "label_smoothing": 0.1,
        "score_scale": 2.0,
        "schedule": "cosine",
        "warmup_steps": 2,
        "average": 0.5,
        "max_grad_norm": 3.0,
        "weight_decay": 0.001,
        "patience": 7,
        "max_seconds": 1000.0,
        "filter_negatives": False,
        "own_head": True,
        "sparse": False,
    }
    assert {name: config[name] for name in expected} == expected
    assert config["groups"]["relations"]["weight_decay"] == 0.5  # the preset has more
    assert config["options"].items() >= {"max_norm": None, "margin": 4.0, "transport": False}.items()
    opened = load_run(tmp_path / "out")
    assert (opened.model.max_norm, opened.model.margin) == (None, 4.0)


def test_every_setting_can_be_chosen() -> None:
    """What KGConfig has and the command has not would be out of reach."""
    settings = {field.name for field in dataclasses.fields(KGConfig)} - {"seed", "groups", "options"}
    assert settings < set(inspect.signature(train).parameters)


def test_preset_fills_in_what_is_not_chosen(kg: Command, toy: Path, tmp_path: Path) -> None:
    refused = kg("train", "--dataset", toy, "--preset", "published", "--out", tmp_path / "out")
    assert_refused(refused, "hybonet on wn18rr", tmp_path / "out")


def test_several_seeds_get_a_folder_each(kg: Command, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = kg("train", "--dataset", toy, *QUICK, "--seeds", "0,3", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "mean, standard protocol" in done.stdout
    found = [json.loads((out / f"seed-{seed}" / "results.json").read_text()) for seed in (0, 3)]
    assert [one["seed"] for one in found] == [0, 3]
    mean = sum(one["test"]["both"]["mrr"] for one in found) / 2
    assert f"{mean:.4f} ±" in done.stdout
    kept = (out / "seed-3" / "results.json").stat().st_mtime_ns
    more = kg("train", "--dataset", toy, *QUICK, "--seeds", "0,3,4", "--resume", "--out", out)
    assert more.returncode == 0, more.stderr
    assert "seed 3: finished before" in more.stderr
    assert (out / "seed-3" / "results.json").stat().st_mtime_ns == kept
    assert (out / "seed-4" / "embedding.png").exists()


def test_resume_skips_a_finished_run_goes_on_with_an_unfinished_one_and_refuses_another(
    kg: Command, toy: Path, tmp_path: Path
) -> None:
    out, command = tmp_path / "out", ("train", "--dataset", toy, *QUICK)
    assert kg(*command, "--quiet", "--out", out).returncode == 0
    first = json.loads((out / "results.json").read_text())
    refused = kg(*command, "--out", out)
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    other = kg(*command, "--lr", "0.5", "--resume", "--out", out)
    assert (other.returncode, "lr" in other.stderr) == (2, True)
    assert "finished before" in kg(*command, "--resume", "--out", out).stderr
    assert json.loads((out / "results.json").read_text()) == first
    (out / "results.json").unlink()
    assert kg(*command, "--resume", "--quiet", "--out", out).returncode == 0
    again = json.loads((out / "results.json").read_text())
    assert again["test"] == first["test"]
    assert kg(*command, "--force", "--quiet", "--out", out).returncode == 0


def test_progress_says_loss_time_and_mrr(kg: Command, toy: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gsam.cli.kg.KGProgress._SECONDS", 0.0)
    done = kg("train", "--dataset", toy, *QUICK, "--out", tmp_path / "out")
    lines = [line for line in done.stderr.splitlines() if ": epoch " in line]
    assert len(lines) == 3
    assert "validation" not in lines[0]
    history = json.loads((tmp_path / "out" / "history.json").read_text())
    optimizer = json.loads((tmp_path / "out" / "config.json").read_text())["optimizer"]
    for epoch, line in enumerate(lines):
        assert line.startswith(
            f"hybonet {optimizer} seed 0: epoch {epoch + 1}, loss {history['epoch_loss'][epoch]:.4g}, "
        )
        assert f"{history['epoch_seconds'][epoch]:.3g} s/epoch" in line
    assert f"validation MRR {history['mrr'][0]:.4f} (best {history['mrr'][0]:.4f})" in lines[1]
    assert f"validation MRR {history['mrr'][1]:.4f} (best {max(history['mrr']):.4f})" in lines[2]


def test_plain_lines_are_rare_on_a_quick_run(kg: Command, toy: Path, tmp_path: Path) -> None:
    done = kg("train", "--dataset", toy, *QUICK, "--out", tmp_path / "out")
    assert not [line for line in done.stderr.splitlines() if ": epoch " in line]


def test_notes_of_the_reader_are_shown(kg: Command, toy: Path, tmp_path: Path) -> None:
    train = toy / "train.txt"
    train.write_text(train.read_text() + "\n" + train.read_text().splitlines()[0] + "\n")
    done = kg("train", "--dataset", toy, *QUICK, "--out", tmp_path / "out")
    assert "note: " in done.stderr
    assert "duplicate" in done.stderr


# -- what goes wrong ---------------------------------------------------------------------------------------------------


BAD_FILES = {
    "missing column": (("train.txt", lambda text: text.replace("\n", "\ne0\tfar\n", 1)), "train.txt, line 2"),
    "unseen relation": (("test.txt", lambda text: text + "e0\tabove\te1\n"), "test.txt, line 77"),
    "empty train": (("train.txt", lambda text: ""), "train.txt"),
    "not UTF-8": (("valid.txt", lambda text: text.replace("\te", "\t\udcff", 1)), "valid.txt, line 1"),
    "empty field": (("valid.txt", lambda text: "e0\t\te1\n" + text), "valid.txt, line 1"),
    "no test": (("test.txt", lambda text: ""), "test triples"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_one_line_with_file_and_line(kg: Command, toy: Path, tmp_path: Path, what: str) -> None:
    (name, spoil), words = BAD_FILES[what]
    file = toy / name
    file.write_bytes(spoil(file.read_text()).encode("utf-8", "surrogateescape"))
    done = kg("train", "--dataset", toy, *QUICK, "--out", tmp_path / "out")
    assert_refused(done, words, tmp_path / "out")
    reasons = {"missing column": "column", "unseen relation": "above", "empty train": "none", "not UTF-8": "UTF-8"}
    assert reasons.get(what, "") in done.stderr


def test_a_bad_file_from_outside(gsam, toy: Path, tmp_path: Path) -> None:
    """Exit code and standard error of a process of its own."""
    (toy / "train.txt").write_text("e0\tfar\te1\ne0\tfar\n")
    done = gsam("kg", "train", "--dataset", toy, *QUICK, "--out", tmp_path / "out")
    assert_refused(done, "train.txt, line 2", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--dataset", "nope"), "nope"),
        (("--dataset", "wordnet"), "gsam fewshot"),
        (("--model", "nope"), "hybonet"),
        (("--optimizer", "nope"), "lorentz-sam"),
        (("--optimizer", "fgsam"), "peer"),
        (("--optimizer", "radam", "--rho", "0.1"), "rho"),
        (("--option", "radius=1"), "radius"),
        (("--option", "margin"), "NAME=VALUE"),
        (("--option", "nobody.lr=1"), "entities"),
        (("--option", "relations.speed=1"), "speed"),
        (("--model", "roth", "--dim", "5"), "even"),
        (("--preset", "nope"), "preset"),
        (("--loss", "nope"), "bce"),
        (("--negatives", "nope"), "shared"),
        (("--dim", "0"), "dim"),
        (("--epochs", "0"), "epochs"),
        (("--lr", "nan"), "lr"),
        (("--seed", "x"), "--seeds"),
        (("--seeds", "1,1"), "seeds"),
        (("--device", "abacus"), "device"),
        (("--threads", "0"), "threads"),
        (("--max-skipped", "0"), "max_skipped"),
        (("--checkpoint-every", "-1"), "--checkpoint-every"),
        (("--nope",), "--nope"),
    ],
)
def test_bad_options_are_one_line_and_nothing_written(
    kg: Command, toy: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = kg("train", "--dataset", toy, *QUICK, *options, "--out", tmp_path / "out")
    assert_refused(done, words, tmp_path / "out")


def test_divergence_is_one_line(kg: Command, toy: Path, tmp_path: Path) -> None:
    done = kg(
        "train", "--dataset", toy, *QUICK, "--model", "distmult", "--lr", "1e38", "--quiet", "--out", tmp_path / "o"
    )
    assert done.returncode == 2
    assert "finite" in done.stderr
    assert not (tmp_path / "o" / "results.json").exists()
