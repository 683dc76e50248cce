"""The reference is complete: what a room exports is on its page, and every file a page names exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ROOMS = (
    "optim",
    "manifolds",
    "nn",
    "graphs",
    "kg",
    "fewshot",
    "nodes",
    "datasets",
    "report",
    "checkpoints",
    "distributed",
)
PARTS = {**{room: room for room in ROOMS}, "fewshot.bench": "fewshot"}


@pytest.mark.parametrize("part", PARTS)
def test_every_exported_name_is_documented(part: str) -> None:
    page = PARTS[part]
    listed = re.findall(r"^\.\. (?:auto(?:class|function|exception)|(?:auto)?data):: (\S+)$", _page(page), re.MULTILINE)
    missing = set(importlib.import_module(f"gsam.{part}").__all__) - {name.rpartition(".")[2] for name in listed}
    assert not missing, f"expected these names of gsam.{part} in docs/reference/{page}.rst: {sorted(missing)}"


@pytest.mark.parametrize("room", ROOMS)
def test_every_documented_name_exists(room: str) -> None:
    current = f"gsam.{room}"
    for kind, name in re.findall(r"^\.\. (currentmodule|automodule|auto\w+):: (\S+)$", _page(room), re.MULTILINE):
        if kind in ("currentmodule", "automodule"):
            current = name
            importlib.import_module(name)
            continue
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module or current), attribute), f"{name} in {room}.rst"


def test_every_room_has_a_page() -> None:
    import gsam

    assert set(ROOMS) | {"cli"} == set(gsam.__all__) - {"__version__"}  # the commands have docs/commands.md


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_relative_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_recipe_is_in_the_readme() -> None:
    from gsam.optim.recipes import RECIPES

    text = (ROOT / "README.md").read_text()
    assert not [name for name in RECIPES if f"`{name}`" not in text]


def test_every_few_shot_method_is_in_the_index_and_in_the_readme() -> None:
    from gsam.fewshot.registry import BASELINES, METHODS

    index, readme = (DOCS / "methods.md").read_text(), (ROOT / "README.md").read_text()
    for name, kind in {**METHODS, **BASELINES}.items():
        assert f"{{class}}`~gsam.fewshot.{kind.__name__}`" in index
        assert f"`{name}`" in readme


def test_every_node_model_is_in_the_page_on_commands() -> None:
    from gsam.nodes import NODE_MODELS

    text = (DOCS / "commands.md").read_text()
    assert not [name for name in NODE_MODELS if f"`{name}`" not in text]


def test_every_knowledge_graph_model_is_in_the_index_and_in_the_readme() -> None:
    from gsam.kg import KG_MODELS

    index, readme = (DOCS / "methods.md").read_text(), (ROOT / "README.md").read_text()
    for name, kind in KG_MODELS.items():
        ours = kind.__module__.startswith("gsam.")
        row = f"{{class}}`~gsam.kg.{kind.__name__}`" if ours else f"`torch_geometric.nn.kge.{kind.__name__}`"
        assert f"| {row} | `{name}` |" in index
        assert f"`{name}`" in readme


def test_every_optimizer_class_is_in_the_index() -> None:
    from gsam.optim.recipes import RECIPES

    index = (DOCS / "methods.md").read_text()
    for recipe in RECIPES.values():
        for kind in (recipe.base, recipe.wrapper):
            if kind is not None and kind.__module__.startswith("gsam."):
                assert f"| {{class}}`~gsam.optim.{kind.__name__}` |" in index


def test_losses_negatives_and_protocols_are_on_the_page_on_knowledge_graphs() -> None:
    from gsam.kg import EMBEDDING_FORMATS, LOSSES, NEGATIVES, PRESETS, PROTOCOLS

    text = (DOCS / "knowledge_graphs.md").read_text()
    names = [*LOSSES, *NEGATIVES, *PROTOCOLS, *PRESETS, *EMBEDDING_FORMATS]
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_ready_grid_is_described() -> None:
    text = (DOCS / "benchmarking.md").read_text()
    configs = [path.name for path in (ROOT / "benchmarks" / "configs").glob("*.yaml")]
    assert configs
    assert not [name for name in configs if f"`{name}`" not in text]


def test_every_dataset_is_in_the_page_on_data() -> None:
    from gsam.datasets import list_datasets

    text = (DOCS / "data.md").read_text()
    assert not [entry.name for entry in list_datasets() if f"`{entry.name}`" not in text]


def test_every_benchmark_is_described() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text()
    scripts = [path.name for path in (ROOT / "benchmarks").glob("bench_*.py")]
    assert scripts
    assert not [name for name in scripts if f"`{name}`" not in text]


def _page(room: str) -> str:
    return (DOCS / "reference" / f"{room}.rst").read_text()
