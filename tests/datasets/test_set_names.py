from __future__ import annotations

from typing import get_args

from gsam.datasets import list_datasets
from gsam.datasets.set_names import KnowledgeGraphName, NodeSetName


def test_the_types_have_the_names_of_the_catalogue_by_task() -> None:
    for names, is_graph in ((NodeSetName, False), (KnowledgeGraphName, True)):
        assert set(get_args(names)) == {entry.name for entry in list_datasets() if (entry.task == "kg") == is_graph}
