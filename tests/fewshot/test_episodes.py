from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gsam.fewshot import Episode, EpisodeError, EpisodeSampler, load_episodes, save_episodes

LABELS = torch.arange(80) % 8


def sampler(**options: object) -> EpisodeSampler:
    settings: dict = {"n_way": 3, "k_shot": 2, "m_query": 4, "seed": 0, **options}
    return EpisodeSampler(settings.pop("labels", LABELS), settings.pop("classes", (1, 2, 4, 6, 7)), **settings)


def same(a: Episode, b: Episode) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("classes", "support", "query"))


def test_episode_depends_on_seed_and_index_alone() -> None:
    first, second = sampler(), sampler()
    forwards = [first.episode(i) for i in range(6)]
    torch.manual_seed(99)
    backwards = [second.episode(i) for i in reversed(range(6))]
    assert all(same(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert all(same(a, b) for a, b in zip(first.take(3, start=2), forwards[2:5], strict=True))
    assert not any(same(a, b) for i, a in enumerate(forwards) for b in forwards[:i])


@pytest.mark.parametrize("other", [1, (0, 1), (1, 0)])
def test_seeds_differ(other: int | tuple[int, ...]) -> None:
    assert not any(same(a, b) for a, b in zip(sampler().take(5), sampler(seed=other).take(5), strict=True))


def test_no_global_generator_is_used() -> None:
    state = torch.get_rng_state()
    sampler().take(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_in_an_episode() -> None:
    for episode in sampler().take(50):
        assert episode.classes.shape == (3,)
        assert episode.support.shape == (3, 2)
        assert episode.query.shape == (3, 4)
        assert len(set(episode.classes.tolist())) == 3
        assert set(episode.classes.tolist()) <= {1, 2, 4, 6, 7}
        assert (LABELS[episode.support] == episode.classes[:, None]).all()
        assert (LABELS[episode.query] == episode.classes[:, None]).all()
        assert len(set(episode.nodes.tolist())) == 3 * (2 + 4)  # none twice: supports are never queries
        assert episode.nodes.dtype == episode.classes.dtype == torch.int64


def test_targets_and_split_follow_the_nodes() -> None:
    episode = sampler().episode(0)
    rows = torch.stack([episode.nodes, LABELS[episode.nodes]], dim=1)
    support, query = episode.split(rows)
    assert torch.equal(support[..., 0], episode.support)
    assert torch.equal(query[:, 0], episode.query.flatten())
    assert torch.equal(episode.classes[episode.targets], query[:, 1])
    assert torch.equal(episode.classes[episode.support_targets], support[..., 1].flatten())
    assert torch.equal(episode.split(episode.nodes)[0], episode.support)


def test_unlabelled_nodes_are_never_drawn() -> None:
    labels = LABELS.clone()
    labels[::3] = -1
    for episode in sampler(labels=labels, n_way=5, k_shot=1, m_query=1).take(50):
        assert (labels[episode.nodes] >= 0).all()


def test_every_node_about_equally_often() -> None:
    """Chi-square of the counts of 10 nodes in each of 5 classes, as supports and as queries, and of the classes."""
    episodes = sampler().take(2000)
    for draw in ("support", "query"):
        counts = torch.bincount(torch.cat([getattr(e, draw).flatten() for e in episodes]), minlength=80)
        drawn = counts[torch.isin(LABELS, torch.tensor([1, 2, 4, 6, 7]))].double()
        assert drawn.numel() == 50
        assert counts.sum() == drawn.sum()
        assert ((drawn - drawn.mean()) ** 2 / drawn.mean()).sum() < 90  # 49 degrees of freedom: p = 3e-4
    classes = torch.bincount(torch.cat([e.classes for e in episodes]), minlength=8)[[1, 2, 4, 6, 7]].double()
    assert ((classes - 1200) ** 2 / 1200).sum() < 20
    first = torch.bincount(torch.stack([e.classes[0] for e in episodes]), minlength=8)[[1, 2, 4, 6, 7]].double()
    assert ((first - 400) ** 2 / 400).sum() < 20  # nor does a class have a favourite place


def test_class_with_too_few_nodes_is_named() -> None:
    labels = torch.cat([LABELS, torch.full((5,), 8)])
    names = [f"kind {c}" for c in range(9)]
    with pytest.raises(EpisodeError, match=r"at least 2 \+ 4 nodes in every class, found 5 in class 8 \(kind 8\); "):
        sampler(labels=labels, classes=(1, 2, 8), class_names=names)
    with pytest.raises(EpisodeError, match=r"found 5 in class 8; choose"):
        sampler(labels=labels, classes=(1, 2, 8))
    with pytest.raises(EpisodeError, match=r"found 0 in class 11;"):
        sampler(classes=(1, 2, 11), class_names=names)
    assert len(sampler(labels=labels, classes=(1, 2, 8), m_query=3).take(4)) == 4  # exactly enough


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_way": 6}, "at least 6 classes for 6-way episodes, found 5"),
        ({"n_way": 0}, "n_way >= 1, found 0"),
        ({"k_shot": 0}, "k_shot >= 1, found 0"),
        ({"m_query": -2}, "m_query >= 1, found -2"),
        ({"classes": (1, 1, 2)}, r"distinct classes >= 0, found \[1, 1, 2\]"),
        ({"classes": (-1, 1, 2)}, r"distinct classes >= 0, found \[-1, 1, 2\]"),
    ],
)
def test_impossible_settings(options: dict, message: str) -> None:
    with pytest.raises(EpisodeError, match=message):
        sampler(**options)


def test_file_round_trip(tmp_path: Path) -> None:
    episodes = sampler().take(7)
    save_episodes(tmp_path / "episodes.npz", episodes)
    loaded = load_episodes(tmp_path / "episodes.npz")
    assert len(loaded) == 7
    assert all(same(a, b) for a, b in zip(loaded, episodes, strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["episodes.npz"]


def broken_files(folder: Path) -> dict[str, Path]:
    good = folder / "good.npz"
    save_episodes(good, sampler().take(3))
    content = good.read_bytes()
    paths = {name: folder / f"{name}.npz" for name in ("cut", "text", "empty", "absent", "single", "spoilt")}
    paths["cut"].write_bytes(content[: len(content) // 2])
    paths["text"].write_text("classes support query")
    paths["empty"].write_bytes(b"")
    paths["spoilt"].write_bytes(content[:60] + bytes(b ^ 255 for b in content[60:64]) + content[64:])
    with paths["single"].open("wb") as file:
        np.save(file, np.zeros(3))
    arrays = {name: np.stack([getattr(e, name) for e in sampler().take(3)]) for name in ("classes", "support", "query")}
    changes: dict[str, dict[str, object]] = {
        "missing": {"query": None},
        "lengths": {"query": arrays["query"][:2]},
        "ways": {"support": arrays["support"][:, :2]},
        "flat": {"classes": arrays["classes"].reshape(-1)},
        "fractions": {"support": arrays["support"] + 0.5},
    }
    for name, change in changes.items():
        paths[name] = folder / f"{name}.npz"
        np.savez(paths[name], **{k: v for k, v in {**arrays, **change}.items() if v is not None})
    return paths


BROKEN = ("cut", "text", "empty", "absent", "single", "spoilt", "missing", "lengths", "ways", "flat", "fractions")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(EpisodeError, match=rf"{name}\.npz"):
        load_episodes(broken_files(tmp_path)[name])


def test_no_pickles(tmp_path: Path) -> None:
    """An object array could run code on loading; it is refused."""
    objects = np.array([[1, {}, 2]], dtype=object)
    np.savez(tmp_path / "evil.npz", classes=objects, support=objects, query=objects)
    with pytest.raises(EpisodeError, match="allow_pickle=False"):
        load_episodes(tmp_path / "evil.npz")


def test_labels_on_any_layout() -> None:
    """A strided view of labels gives the same pools."""
    wide: Tensor = torch.stack([LABELS, LABELS * 0], dim=1)
    assert same(sampler(labels=wide[:, 0]).episode(3), sampler().episode(3))
