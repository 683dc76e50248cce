from __future__ import annotations

import pytest
import torch

from gsam.fewshot import FewShotMethod
from gsam.fewshot.registry import BASELINES, METHODS, check_method


def test_names() -> None:
    assert not set(METHODS) & set(BASELINES)
    for name in (*METHODS, *BASELINES):
        assert check_method(name) == name
    with pytest.raises(ValueError, match="among gpn, proto-net, sgc-prototype, linear-probe, found 'GPN'"):
        check_method("GPN")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_built_alike(name: str) -> None:
    """From the number of features, the width and the dropout: what a run knows."""
    method = METHODS[name](6, hidden=3, dropout=0.4)
    assert isinstance(method, FewShotMethod)
    assert method.normalization in ("rw", "gcn")
    assert {m.dropout for m in method.modules() if hasattr(m, "dropout")} == {0.4}
    assert all(p.dtype == torch.float32 and p.requires_grad for p in method.parameters())
