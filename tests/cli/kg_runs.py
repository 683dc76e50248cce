"""The options of a short ``gsam kg`` run, its files, and what a refusal looks like."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tests.kg.toy_graph import toy_graph

QUICK = ("--dim", "4", "--epochs", "3", "--batch-size", "64", "--num-negatives", "8", "--validate-every", "2")
Command = Callable[..., SimpleNamespace]


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


def assert_refused(done: SimpleNamespace, words: str, out: Path | None = None) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("gsam: ")
    assert words in done.stderr
    assert out is None or not out.exists()
