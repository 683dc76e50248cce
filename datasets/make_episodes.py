"""Write lists of test episodes: those that come with the package, or one for any data set.

Without ``--dataset`` it writes the lists of the package. Episode ``i`` is drawn as ``gsam fewshot run --seed SEED``
draws it for its test.

Example:
    python datasets/make_episodes.py --dataset corafull --split tlp --ways 5 --shots 3 --out episodes
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from gsam.datasets import NodeDataset, load_nodes
from gsam.fewshot import ClassSplit, Episode, EpisodeSampler, save_episodes
from gsam.fewshot.published import EPISODES, EpisodeList

BUNDLED_LISTS = (
    *(EpisodeList("wordnet", "wordnet", ways, shots) for ways, shots in ((5, 1), (5, 3), (5, 5), (10, 3))),
    *(EpisodeList("coauthor-cs", "tlp", 5, shots) for shots in (1, 3, 5)),
)
_TEST_STREAM = 3  # a run draws training episodes from (seed, 1), validation from (seed, 2), tests from (seed, 3)


def draw(
    data: NodeDataset, wanted: EpisodeList, *, queries: int = 10, count: int = 100, seed: int = 0
) -> list[Episode]:
    """Return ``count`` episodes of the split's test classes."""
    split = ClassSplit.named(data.class_splits, wanted.split)
    sampler = EpisodeSampler(
        data.labels,
        split.test,
        n_way=wanted.ways,
        k_shot=wanted.shots,
        m_query=queries,
        seed=(seed, _TEST_STREAM),
        class_names=data.class_names,
    )
    return sampler.take(count)


def write(lists: Iterable[EpisodeList], folder: Path, *, queries: int, count: int, seed: int) -> None:
    """Draw and save some lists, loading each data set once."""
    data: dict[str, NodeDataset] = {}
    for wanted in lists:
        if wanted.dataset not in data:
            data[wanted.dataset] = load_nodes(wanted.dataset)
        path = folder / wanted.file_name
        save_episodes(path, draw(data[wanted.dataset], wanted, queries=queries, count=count, seed=seed))
        print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> int:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a name of the catalogue (default: the lists of the package)")
    parser.add_argument("--split", help="a class split of that data set")
    parser.add_argument("--ways", type=int, default=5, help="classes in an episode")
    parser.add_argument("--shots", type=int, default=3, help="supports of each class")
    parser.add_argument("--queries", type=int, default=10, help="queries of each class")
    parser.add_argument("--episodes", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="seed of the run whose test episodes these are")
    parser.add_argument("--out", type=Path, default=EPISODES, help="folder to write to (default: the package's)")
    options = parser.parse_args()
    if bool(options.dataset) != bool(options.split):
        parser.error("expected --dataset and --split together, or neither")
    one = EpisodeList(options.dataset, options.split, options.ways, options.shots)
    try:
        write(
            (one,) if options.dataset else BUNDLED_LISTS,
            options.out,
            queries=options.queries,
            count=options.episodes,
            seed=options.seed,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
