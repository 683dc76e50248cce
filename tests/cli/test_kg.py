"""``gsam kg`` from outside: what it writes and prints, and that bad input costs one line and nothing else."""

import csv
import dataclasses
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from gsam.cli.app import main
from gsam.cli.kg import train
from gsam.datasets import load_knowledge_graph
from gsam.kg import KGConfig, KGRun, configure, load_run, predict, rank
from tests.kg.toy_graph import toy_graph

QUICK = ("--dim", "4", "--epochs", "3", "--batch-size", "64", "--num-negatives", "8", "--validate-every", "2")
KEYS = {
    *("dataset", "model", "optimizer", "seed", "hyperparameters", "num_entities", "num_relations", "protocol"),
    *("test", "valid", "test_hybonet", "epochs_run", "epoch_seconds_median", "train_seconds", "eval_seconds"),
    "environment",
}
TIMES = {"epoch_seconds_median", "train_seconds", "eval_seconds", "validation_seconds", "environment"}
Command = Callable[..., SimpleNamespace]


@pytest.fixture
def kg(capsys: pytest.CaptureFixture[str]) -> Command:
    """``gsam kg`` in this process, which has loaded PyTorch Geometric already."""

    def run(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as end:
            main(["kg", *map(str, arguments)])
        shown = capsys.readouterr()
        return SimpleNamespace(returncode=end.value.code, stdout=shown.out, stderr=shown.err)

    return run


def write_folder(folder: Path) -> Path:
    graph = toy_graph()
    folder.mkdir()
    for split in ("train", "valid", "test"):
        rows = [
            f"{graph.entities[h]}\t{graph.relations[r]}\t{graph.entities[t]}\n"
            for h, r, t in graph.split(split).tolist()
        ]
        (folder / f"{split}.txt").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "toy")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, from a process of its own."""
    place = tmp_path_factory.mktemp("kg")
    command = [sys.executable, "-m", "gsam", "kg", "train", "--dataset", write_folder(place / "toy"), *QUICK]
    done = subprocess.run([*command, "--out", place / "run"], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "test MRR" in done.stderr
    for words in ("standard protocol", "hybonet protocol", "N-N relations", "Hits@10", "results.json"):
        assert words in done.stdout
    return place / "run"


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


def test_resume_skips_a_finished_run_starts_an_unfinished_one_over_and_refuses_another(
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


# -- eval, predict, embed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["standard", "hybonet"])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_eval_prints_the_ranking(kg: Command, trained: Path, split: str, protocol: str) -> None:
    options = ("--split", split, "--protocol", protocol, "--hits", "1,5", "--json")
    found = json.loads(kg("eval", "--run", trained, *options).stdout)
    opened = load_run(trained)
    expected = rank(opened.model, opened.graph, split, protocol=protocol).metrics((1, 5))
    assert found["figures"] == {
        "missing head": expected["head"],
        "missing tail": expected["tail"],
        "both": expected["both"],
    }
    table = kg("eval", "--run", trained, *options[:-1]).stdout
    assert f"{split} triples, {protocol} protocol" in table
    assert f"{expected['both']['mrr']:.4f}" in table
    assert f"{expected['head']['hits@5']:.4f}" in table


@pytest.mark.parametrize("by", ["relation", "category"])
def test_eval_by_group(kg: Command, trained: Path, by: str) -> None:
    opened = load_run(trained)
    ranking = rank(opened.model, opened.graph)
    groups = (ranking.per_relation if by == "relation" else ranking.per_category)(opened.graph)
    shown = kg("eval", "--run", trained, "--by", by).stdout
    for name, figures in groups.items():
        line = next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert line.split()[-6:-2] == [f"{figures['both'][key]:.4f}" for key in ("mrr", "hits@1", "hits@3", "hits@10")]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("side", ["head", "tail"])
def test_predict_prints_the_answers(kg: Command, trained: Path, side: str, known: bool) -> None:
    opened = load_run(trained)
    expected = predict(opened.model, opened.graph, **{side: "e7"}, relation="far", top=4, known=known)
    command = ("predict", "--run", trained, f"--{side}", "e7", "--relation", "far", "--top", "4")
    command += ("--known",) if known else ()
    assert json.loads(kg(*command, "--json").stdout) == [{**vars(a), "known": list(a.known)} for a in expected]
    lines = kg(*command).stdout.splitlines()
    assert ("e7 far ?" if side == "head" else "? far e7") in lines[0]
    for line, answer in zip(lines[1:5], expected, strict=True):
        words = [str(answer.rank), answer.entity, f"{answer.score:.4f}", *", ".join(answer.known).split()]
        assert line.split() == words
    assert ("--known" in lines[-1]) != known


def test_embed_writes_every_format(kg: Command, trained: Path, tmp_path: Path) -> None:
    model = load_run(trained).model
    done = kg("embed", "--run", trained, "--format", "npz", "--out", tmp_path / "e.npz")
    assert f"written: {tmp_path / 'e.npz'}" in done.stdout
    with np.load(tmp_path / "e.npz") as archive:
        assert np.allclose(archive["coordinates"], model.node_emb.weight.detach(), atol=1e-6)
    kg("embed", "--run", trained, "--format", "tsv", "--out", tmp_path / "e.tsv")
    with (tmp_path / "e.tsv").open(newline="") as file:
        assert len(list(csv.reader(file, delimiter="\t"))) == 25
    kg("embed", "--run", trained, "--format", "graphml", "--out", tmp_path / "e.graphml")
    assert nx.read_graphml(tmp_path / "e.graphml").number_of_nodes() == 24
    refused = kg("embed", "--run", trained, "--out", tmp_path / "e.npz")
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert kg("embed", "--run", trained, "--out", tmp_path / "e.npz", "--force", "--quiet").returncode == 0
    assert kg("embed", "--run", trained, "--out", tmp_path).returncode == 2


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def assert_refused(done: SimpleNamespace, words: str, out: Path | None = None) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("gsam: ")
    assert words in done.stderr
    assert out is None or not out.exists()


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
        (("--nope",), "--nope"),
    ],
)
def test_bad_options_are_one_line_and_nothing_written(
    kg: Command, toy: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = kg("train", "--dataset", toy, *QUICK, *options, "--out", tmp_path / "out")
    assert_refused(done, words, tmp_path / "out")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("predict", "--relation", "far", "--head", "e77"), "did you mean e7"),
        (("predict", "--relation", "fra", "--head", "e7"), "did you mean far"),
        (("predict", "--relation", "far"), "--tail"),
        (("predict", "--relation", "far", "--head", "e7", "--tail", "e8"), "--tail"),
        (("predict", "--relation", "far", "--head", "e7", "--top", "0"), "top"),
        (("eval", "--split", "nope"), "train, valid or test"),
        (("eval", "--protocol", "nope"), "hybonet"),
        (("eval", "--by", "nope"), "category"),
        (("eval", "--hits", "0"), "at least 1"),
        (("embed", "--format", "xlsx"), "graphml"),
    ],
)
def test_bad_questions_are_one_line(kg: Command, trained: Path, command: tuple[str, ...], words: str) -> None:
    assert_refused(kg(*command, "--run", trained), words)


@pytest.mark.parametrize("command", [("eval",), ("predict", "--relation", "far", "--head", "e7"), ("embed",)])
def test_a_folder_without_a_run_is_one_line(kg: Command, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert_refused(kg(*command, "--run", tmp_path), "gsam kg train")
    assert not list(tmp_path.iterdir())


def test_divergence_is_one_line(kg: Command, toy: Path, tmp_path: Path) -> None:
    done = kg(
        "train", "--dataset", toy, *QUICK, "--model", "distmult", "--lr", "1e38", "--quiet", "--out", tmp_path / "o"
    )
    assert done.returncode == 2
    assert "finite" in done.stderr
    assert not (tmp_path / "o" / "results.json").exists()
