from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gsam.cli.datasets import app
from gsam.datasets import DatasetError, list_datasets
from gsam.datasets.wordnet.source import DEFAULT_DICT, SOURCE_FILES

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GSAM_DATA", raising=False)
    monkeypatch.setenv("GSAM_CACHE", str(tmp_path / "cache"))


def test_list_has_a_line_per_set_and_needs_no_file() -> None:
    result = runner.invoke(app, ["list"])
    assert result.exit_code == 0
    nodes, graphs = (table.splitlines() for table in result.stdout.split("\n\n"))
    entries = list_datasets()
    for table, is_graph in ((nodes, False), (graphs, True)):
        expected = [entry.name for entry in entries if entry.is_knowledge_graph == is_graph]
        assert [line.split()[0] for line in table] == ["name", *expected]
    assert nodes[0].split()[2:6] == ["nodes", "edges", "features", "classes"]
    assert graphs[0].split()[2:7] == ["entities", "relations", "train", "valid", "test"]
    lines = nodes + graphs
    assert "86,835" in next(line for line in lines if line.startswith("wn18rr "))
    wordnet, cora = (next(line for line in lines if line.startswith(name + " ")) for name in ("wordnet", "cora"))
    assert "95,882" in wordnet
    assert "bundled" in wordnet
    assert "not here" in cora


def test_list_draws_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from gsam.cli import datasets

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    datasets.list_command()
    shown = capsys.readouterr().out
    assert all(entry.name in shown for entry in list_datasets())


def test_list_and_info_import_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from gsam.cli.datasets import app; r = CliRunner()\n"
        "assert r.invoke(app, ['list']).exit_code == r.invoke(app, ['info', 'wordnet']).exit_code == 0\n"
        "assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_info_tells_where_to_put_missing_files(tmp_path: Path) -> None:
    shown = runner.invoke(app, ["info", "Coauthor_CS"]).stdout
    assert "gsam datasets fetch coauthor-cs" in shown
    assert f"put ms_academic_cs.npz into {tmp_path / 'cache'}/Coauthor/CS/raw" in shown
    assert "GSAM_DATA is not set" in shown


def test_info_says_what_its_sizes_are_and_lists_splits() -> None:
    shown = runner.invoke(app, ["info", "ogbn-arxiv"]).stdout
    assert "(as published: 1,166,243 directed citations" in shown
    assert "tlp: 20,10,10 train, validation and test classes (Tan et al." in shown
    assert "fgsam-json: 15,5,20" in shown


def test_info_does_not_offer_a_download_that_cannot_be(tmp_path: Path) -> None:
    shown = runner.invoke(app, ["info", "dblp"]).stdout
    assert "gsam datasets fetch" not in shown
    assert f"GPN_Graph-Few-shot and put dblp_network, dblp_train.mat, dblp_test.mat into {tmp_path}/cache" in shown


def test_fetch_without_an_address_says_what_to_do() -> None:
    result = runner.invoke(app, ["fetch", "amazon-clothing"])
    assert isinstance(result.exception, DatasetError)
    assert "put Amazon_clothing_network" in str(result.exception)


def test_info_checks_the_bundled_file() -> None:
    shown = runner.invoke(app, ["info", "wordnet"]).stdout
    assert "(file matches)" in shown
    assert "16 classes: noun.Tops" in shown


def test_info_of_a_knowledge_graph() -> None:
    shown = runner.invoke(app, ["info", "wordnet-nouns"]).stdout
    assert "82,115 entities, 10 relations, 105,877 training, 5,952 validation and 5,938 test triples" in shown
    assert "hypernym, instance_hypernym, has_member" in shown
    assert "(file matches)" in shown
    umls = runner.invoke(app, ["info", "umls"]).stdout
    assert "get them from umls.tar.gz of github.com/TimDettmers/ConvE and put train.txt, valid.txt, test.txt" in umls


def test_info_tells_where_files_are(tmp_path: Path) -> None:
    raw = tmp_path / "cache/Amazon/Photo/raw"
    raw.mkdir(parents=True)
    (raw / "amazon_electronics_photo.npz").touch()
    assert f"{raw} (1 file)" in runner.invoke(app, ["info", "amazon-photo"]).stdout
    line = next(x for x in runner.invoke(app, ["list"]).stdout.splitlines() if x.startswith("amazon-photo"))
    assert " cache " in line


@pytest.mark.parametrize("command", [["info", "wordnte"], ["fetch", "wordnte"], ["build", "wordnte", "--out", "x"]])
def test_unknown_names_reach_the_caller_as_dataset_errors(command: list[str]) -> None:
    result = runner.invoke(app, command)
    assert isinstance(result.exception, DatasetError)
    assert "did you mean wordnet or wordnet-nouns?" in str(result.exception)


def test_fetch_prints_the_folder() -> None:
    assert runner.invoke(app, ["fetch", "wordnet"]).stdout.strip().endswith("wordnet")
    assert runner.invoke(app, ["fetch", "wordnet", "--quiet"]).stdout == ""


def test_fetch_without_a_network_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    result = runner.invoke(app, ["fetch", "texas", "--out", str(tmp_path / "there")])
    assert isinstance(result.exception, DatasetError)
    assert list(tmp_path.iterdir()) == []


def test_build_is_for_bundled_sets() -> None:
    result = runner.invoke(app, ["build", "cora", "--out", "x"])
    assert isinstance(result.exception, DatasetError)
    assert "gsam datasets fetch cora" in str(result.exception)


def test_build_without_sources_names_the_package(tmp_path: Path) -> None:
    result = runner.invoke(app, ["build", "wordnet", "--dict", str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, DatasetError)
    assert "wordnet-base" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_build_of_a_tiny_dictionary_says_that_it_differs(tmp_path: Path) -> None:
    lines = {
        "data.noun": "00000001 05 n 01 dog 0 001 + 00000001 v 0000 | an animal\n",
        "data.verb": "00000001 30 v 01 grow 0 000 00 | rise\n",
        "index.noun": "dog n 1 0 1 1 00000001\n",
        "index.verb": "grow v 1 0 1 1 00000001\n",
    }
    assert set(lines) == set(SOURCE_FILES)
    for name, text in lines.items():
        (tmp_path / name).write_text(text)
    result = runner.invoke(app, ["build", "wordnet", "--dict", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.exception
    assert "content not the same as the bundled one" in result.stdout


def test_build_of_a_bundled_knowledge_graph(tmp_path: Path) -> None:
    if not (DEFAULT_DICT / "data.noun").is_file():
        pytest.skip(f"WordNet's database files are not in {DEFAULT_DICT}: install wordnet-base")
    result = runner.invoke(app, ["build", "wordnet-mammals", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.exception
    assert "wordnet-mammals.npz" in result.stdout


@pytest.mark.parametrize("command", ["list", "info", "fetch", "build"])
def test_help_has_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: gsam datasets {command}" in " ".join(result.stdout.split())
