"""What importing costs and needs: checked in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gsam

HEAVY = (
    *("torch_geometric", "geoopt", "sklearn", "matplotlib", "scipy", "networkx", "torch", "numpy", "rich", "typer"),
    *("accelerate", "lightning", "pytorch_lightning"),
)
PARTS = [name for name in gsam.__all__ if name != "__version__"]


def fresh(code: str, *flags: str) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def loaded_by(statement: str, *flags: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(n for n in {HEAVY!r} if n in sys.modules))"
    return set(fresh(code, *flags).split())


def test_import_gsam_loads_nothing() -> None:
    """No other package at all, no warning, and nothing printed."""
    assert loaded_by("import gsam; gsam.__version__; dir(gsam)", "-W", "error") == set()


def test_catalogue_loads_nothing_heavy() -> None:
    assert not loaded_by("import gsam.datasets; gsam.datasets.list_datasets()") - {"numpy"}


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("optim", {"torch", "geoopt", "numpy", "scipy"}),  # scipy is geoopt's
        ("graphs", {"torch", "numpy", "scipy"}),
        ("fewshot", {"torch", "geoopt", "numpy", "scipy"}),
    ],
)
def test_part_loads_only_what_it_needs(part: str, allowed: set[str]) -> None:
    assert loaded_by(f"import gsam; gsam.{part}.__all__") <= allowed


def test_every_import_order_works() -> None:
    """Each part first, then all the others in two orders, with all of gsam forgotten in between."""
    code = f"""
import importlib, sys
for order in {[[first, *others] for first in PARTS for others in (PARTS, PARTS[::-1])]!r}:
    for name in [n for n in sys.modules if n == "gsam" or n.startswith("gsam.")]:
        del sys.modules[name]
    for part in order:
        module = importlib.import_module("gsam." + part)
        for public in getattr(module, "__all__", ()):
            getattr(module, public)
print("done")
"""
    assert fresh(code).strip() == "done"


def test_parts_are_attributes() -> None:
    """``import gsam`` is enough to reach any part; an unknown name says what there is."""
    for part in PARTS:
        assert getattr(gsam, part).__name__ == f"gsam.{part}"
        assert part in dir(gsam)
    with pytest.raises(AttributeError, match=r"no attribute 'fewshots'; its parts are .*fewshot"):
        gsam.fewshots  # noqa: B018
