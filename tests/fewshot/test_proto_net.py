from __future__ import annotations

import math

import pytest

from gsam.fewshot import ProtoNet


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="'euclidean' or 'cosine', found 'manhattan'"):
        ProtoNet(4, metric="manhattan")


def test_temperature_is_learned_in_the_cosine_only() -> None:
    scale = ProtoNet(4, metric="cosine").log_scale
    assert scale is not None
    assert scale.requires_grad
    assert scale.exp().item() == pytest.approx(10.0)
    assert ProtoNet(4).log_scale is None
    assert math.isclose(sum(p.numel() for p in ProtoNet(4, hidden=3).parameters()), 4 * 3 + 3 + 3 * 3 + 3)
