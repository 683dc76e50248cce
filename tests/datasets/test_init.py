from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import gsam.datasets as d
d.list_datasets(), d.info("wordnet"), d.load
d.load_nodes, d.load_knowledge_graph
heavy = {"torch", "numpy", "scipy", "torch_geometric"} & set(sys.modules)
assert not heavy, heavy
d.NodeDataset
assert "torch" in sys.modules
"""


def test_the_catalogue_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_names_resolve() -> None:
    import gsam.datasets

    assert all(getattr(gsam.datasets, name) is not None for name in gsam.datasets.__all__)
