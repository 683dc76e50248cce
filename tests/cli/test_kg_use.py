"""``gsam kg eval``, ``predict`` and ``embed`` from outside: their answers, and refusals of one line."""

import csv
import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from gsam.kg import load_run, predict, rank
from tests.cli.kg_runs import Command, assert_refused


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
