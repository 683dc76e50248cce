from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gsam.datasets import NodeDataset, info, load, published_splits
from gsam.datasets.locations import locate
from gsam.fewshot import ClassSplit, Episode, EpisodeError, FewShotConfig, load_episodes
from gsam.fewshot.config import samplers
from gsam.fewshot.published import EPISODES, EpisodeList, list_published_episodes, published_episodes

SCRIPT = Path(__file__).resolve().parents[2] / "datasets" / "make_episodes.py"
LISTS = [
    *(EpisodeList("coauthor-cs", "tlp", 5, shots) for shots in (1, 3, 5)),
    *(EpisodeList("wordnet", "wordnet", 5, shots) for shots in (1, 3, 5)),
    EpisodeList("wordnet", "wordnet", 10, 3),
]
_LOADED: dict[str, NodeDataset] = {}


def labelled(name: str) -> NodeDataset:
    """A data set, loaded once; skipped where its raw files are not."""
    if locate(info(name)) is None:
        pytest.skip(f"raw files of {name} are not here: set GSAM_DATA to a folder with {info(name).folder}")
    if name not in _LOADED:
        _LOADED[name] = load(name)
    return _LOADED[name]


def same(a: list[Episode], b: list[Episode]) -> bool:
    fields = ("classes", "support", "query")
    return len(a) == len(b) and all(
        torch.equal(getattr(x, name), getattr(y, name)) for x, y in zip(a, b, strict=True) for name in fields
    )


def test_what_there_is_and_how_large() -> None:
    assert list_published_episodes() == sorted(LISTS)
    sizes = [path.stat().st_size for path in EPISODES.iterdir()]
    assert max(sizes) < 100_000
    assert sum(sizes) < 600_000


@pytest.mark.parametrize("wanted", LISTS, ids=lambda wanted: wanted.file_name)
def test_shapes_and_classes_need_no_data(wanted: EpisodeList) -> None:
    episodes = published_episodes(*wanted)
    known = {name: split.parts for name, split in published_splits(wanted.dataset).items()}
    split = known.get(wanted.split) or load("wordnet").class_splits["wordnet"]
    assert len(episodes) == 100
    for episode in episodes:
        assert episode.support.shape == (wanted.ways, wanted.shots)
        assert episode.query.shape == (wanted.ways, 10)
        assert len(set(episode.classes.tolist())) == wanted.ways
        assert set(episode.classes.tolist()) <= set(split["test"])
        assert len(set(episode.nodes.tolist())) == wanted.ways * (wanted.shots + 10), "a support is never a query"


@pytest.mark.parametrize("wanted", LISTS, ids=lambda wanted: wanted.file_name)
def test_every_node_has_the_label_of_its_class(wanted: EpisodeList) -> None:
    labels = labelled(wanted.dataset).labels
    for episode in published_episodes(*wanted):
        assert bool((labels[episode.support] == episode.classes[:, None]).all())
        assert bool((labels[episode.query] == episode.classes[:, None]).all())


@pytest.mark.parametrize("wanted", [LISTS[0], LISTS[-1]], ids=lambda wanted: wanted.file_name)
def test_they_are_the_test_episodes_of_a_run_with_seed_0(wanted: EpisodeList) -> None:
    data = labelled(wanted.dataset)
    config = FewShotConfig(dataset=wanted.dataset, split=wanted.split, ways=wanted.ways, shots=wanted.shots)
    assert same(published_episodes(data, *wanted[1:]), samplers(config, data, 0)["test"].take(100))


def test_an_unknown_list_shows_those_there_are() -> None:
    message = r"lists of episodes \(coauthor-cs tlp 5-way 1-shot; .*found wordnet tlp 5-way 3-shot"
    with pytest.raises(EpisodeError, match=message) as raised:
        published_episodes("wordnet", "tlp", 5, 3)
    assert "\n" not in str(raised.value)


def test_other_data_of_that_name_are_refused() -> None:
    data = labelled("wordnet")
    assert published_episodes(data, "wordnet", 5, 3)
    node = published_episodes("wordnet", "wordnet", 5, 3)[99].query[4, 9]
    relabelled = data.labels.clone()
    relabelled[node] = (relabelled[node] + 1) % 41
    cut = data.features.rows(torch.arange(1000))
    for change in ({"labels": relabelled}, {"labels": data.labels[:1000], "features": cut}):
        with pytest.raises(EpisodeError, match="expected the nodes and labels of wordnet"):
            published_episodes(dataclasses.replace(data, **change), "wordnet", 5, 3)


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_episodes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_knows_the_lists_of_the_package() -> None:
    assert sorted(script().BUNDLED_LISTS) == sorted(LISTS)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_script_writes_a_list_for_any_setting(tmp_path: Path) -> None:
    options = ["--dataset", "wordnet", "--split", "wordnet", "--ways", "3", "--shots", "2", "--queries", "4"]
    done = run(*options, "--episodes", "7", "--seed", "5", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = load_episodes(tmp_path / "wordnet_wordnet_3way_2shot.npz")
    config = FewShotConfig(dataset="wordnet", split="wordnet", ways=3, shots=2, queries=4, seeds=(5,))
    assert same(found, samplers(config, load("wordnet"), 5)["test"].take(7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "wordnet"), "--dataset and --split together"),
        (("--dataset", "wordnet", "--split", "tlp"), "a published split (wordnet), found 'tlp'"),
        (("--dataset", "wordnt", "--split", "tlp"), "did you mean wordnet"),
    ],
)
def test_the_script_on_bad_input(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = run(*options, "--out", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_split_of_the_literature_reaches_a_run() -> None:
    """``--split tlp`` finds the list through the data set that is loaded."""
    data = labelled("coauthor-cs")
    named = ClassSplit.named(data.class_splits, "tlp")
    assert named.to_dict() == {part: list(c) for part, c in published_splits("coauthor-cs")["tlp"].parts.items()}
