"""The Python blocks of the README and of each page run as they stand, from the top of the page down."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gsam.nn import peer_registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_CODE = {
    *("README.md", "quickstart.md", "loops.md", "data.md", "extending.md"),
    *("knowledge_graphs.md", "manifolds.md"),
}


def blocks(page: Path) -> list[tuple[int, str]]:
    """Line number and text of each block; a fence ``{code-block} python`` is one that is not run."""
    text = page.read_text()
    return [(text[: found.start(1)].count("\n"), found[1]) for found in FENCE.finditer(text)]


def run(page: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a page's blocks as one module (PyG looks up the module of a layer) and return its names."""
    module = ModuleType(f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(peer_registry, "_RULES", dict(peer_registry._RULES))  # a page may register a peer
    torch.manual_seed(0)
    for line, text in blocks(page):
        exec(compile("\n" * line + text, str(page), "exec"), module.__dict__)
    return module.__dict__


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec:FutureWarning")  # Lightning's use of torch
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")  # Lightning on machines with many cores
@pytest.mark.parametrize("page", [p for p in PAGES if p.name in WITH_CODE], ids=lambda page: page.name)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(page, monkeypatch)
    assert not list(tmp_path.iterdir()), "a documented block must not leave files in the working folder"


def test_the_readme_example_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond running: after the README's steps the GNN fits its four labelled nodes."""
    names = run(ROOT / "README.md", monkeypatch)
    gnn, data = names["gnn"], names["data"]
    assert names["opt"].skipped_steps == 0
    assert names["loss"].item() < 1.0  # log(4) = 1.39 is guessing
    guess = gnn(data.x, data.edge_index).argmax(1)
    assert bool((guess == data.y)[data.train_mask].all())
    assert names["sam"].skipped_steps == 0
    assert names["errors"][-1] < 0.5 * names["errors"][0]


def test_every_page_with_code_is_listed() -> None:
    assert {page.name for page in PAGES if blocks(page)} == WITH_CODE


def test_an_error_names_page_and_line() -> None:
    page = ROOT / "docs" / "loops.md"
    line, text = blocks(page)[0]
    assert page.read_text().splitlines()[line] == text.splitlines()[0]
