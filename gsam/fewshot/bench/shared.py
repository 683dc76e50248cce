"""What a worker keeps between units: the data sets it has met, and what runs on them share."""

from __future__ import annotations

from functools import lru_cache

from gsam.datasets import load_nodes
from gsam.fewshot.config import FewShotConfig
from gsam.fewshot.prepared import PreparedData
from gsam.fewshot.run import FewShotRun


@lru_cache(maxsize=2)  # units come data set by data set; at the border a worker may go back once
def shared_data(name: str, device: str) -> PreparedData:
    """The data set, loaded and prepared once in this process."""
    return PreparedData(load_nodes(name), device)


def shared_run(config: FewShotConfig, device: str) -> FewShotRun:
    """The configuration bound to its data."""
    return FewShotRun(config, shared_data(config.dataset, device))
