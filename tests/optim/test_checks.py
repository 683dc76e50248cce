from __future__ import annotations

import functools
import math
import re
from typing import Any

import geoopt
import numpy as np
import pytest
import torch
from torch import nn

from gsam.optim import AESAM, ESAM, FGSAM, MSAM, SAM, FGSAMPlus, LookSAM, SharpnessAware
from gsam.optim.checks import check_kind, check_scope

ADAM, SGD = torch.optim.Adam, torch.optim.SGD
AE_SAM = functools.partial(AESAM, total_steps=3)
KINDS = [SharpnessAware, SAM, FGSAM, FGSAMPlus, LookSAM, ESAM, MSAM, AE_SAM]


def params() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rho", [-0.1, math.nan, math.inf])
def test_bad_rho(kind: Any, rho: float) -> None:
    with pytest.raises(ValueError, match=f"expected a finite rho >= 0, found {rho}"):
        kind(params(), SGD, lr=0.1, rho=rho)
    with pytest.raises(ValueError, match="finite rho"):
        kind([{"params": params(), "rho": rho}], SGD, lr=0.1)


def test_rho_of_a_later_group() -> None:
    opt = SAM(params(), SGD, lr=0.1, rho=0.2)
    with pytest.raises(ValueError, match="finite rho"):
        opt.add_param_group({"params": params(), "rho": math.nan})
    assert len(opt.base.param_groups) == 1
    opt.add_param_group({"params": params()})
    assert opt.param_groups[1]["rho"] == 0.2


@pytest.mark.parametrize("base", [3, "adam", nn.Linear, None, lambda p: SGD(p)])
def test_no_optimizer(base: Any) -> None:
    with pytest.raises(TypeError, match=r"expected base to be a torch optimizer class or instance"):
        SAM(params(), base)


def test_instance_over_other_parameters() -> None:
    own = params()
    with pytest.raises(ValueError, match="the 2 parameters given, found 2 in it, 0 of them in common"):
        SAM(own, SGD(params(), lr=0.1))
    with pytest.raises(ValueError, match="the 2 parameters given, found 1 in it, 1 of them in common"):
        SAM(own, SGD(own[:1], lr=0.1))
    SAM(iter(own), SGD(own, lr=0.1))
    SAM([{"params": own[0]}, {"params": own[1:]}], SGD(own, lr=0.1))
    SAM([("a", own[0]), ("b", own[1])], SGD(own, lr=0.1))


def test_options_beside_an_instance() -> None:
    own = params()
    with pytest.raises(TypeError, match=r"no options for a base instance, found \['lr'\]"):
        SAM(own, SGD(own, lr=0.1), lr=0.2)


def test_group_options_beside_an_instance() -> None:
    """They would be ignored in silence; those of the base's own groups are used."""
    own = params()
    with pytest.raises(ValueError, match=r"found \['rho'\]; set them in base.param_groups"):
        SAM([{"params": own[:1], "rho": 0.0}, {"params": own[1:]}], SGD(own, lr=0.1))
    base = SGD([{"params": own[:1], "rho": 0.0}, {"params": own[1:]}], lr=0.1)
    opt = SAM(base.param_groups, base, rho=0.3)
    assert [group["rho"] for group in opt.param_groups] == [0.0, 0.3]


@pytest.mark.parametrize("kind", KINDS)
def test_bases_that_need_a_closure(kind: Any) -> None:
    own = params()
    with pytest.raises(TypeError, match="found LBFGS, which needs a closure"):
        kind(own, torch.optim.LBFGS)
    with pytest.raises(TypeError, match="found SAM, which needs a closure"):
        kind(own, SAM(own, SGD, lr=0.1))


def test_unknown_options_reach_the_base_and_its_error() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        SAM(params(), ADAM, nonsense=1)
    with pytest.raises(TypeError, match="lam"):
        SAM(params(), ADAM, lam=1.0)


def test_no_parameters() -> None:
    with pytest.raises(ValueError, match="empty parameter list"):
        SAM([], SGD, lr=0.1)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_bad_max_grad_norm(bound: float) -> None:
    with pytest.raises(ValueError, match="expected max_grad_norm > 0"):
        SAM(params(), SGD, lr=0.1, max_grad_norm=bound)


def test_scopes() -> None:
    with pytest.raises(ValueError, match="'global' or 'local', found 'both'"):
        SAM(params(), SGD, lr=0.1, ascent="both")
    with pytest.raises(ValueError, match="expected module= the DistributedDataParallel model"):
        SAM(params(), SGD, lr=0.1, ascent="local")
    with pytest.raises(ValueError, match="found Linear"):
        SAM(params(), SGD, lr=0.1, ascent="local", module=nn.Linear(1, 1))

    class Parallel(nn.Module):
        no_sync = None

    assert check_scope("local", Parallel(), False) == "local"
    for kind in (FGSAM, FGSAMPlus, LookSAM, AE_SAM):
        with pytest.raises(ValueError, match="descends, or decides, by the ascent gradient"):
            kind(params(), SGD, lr=0.1, ascent="local", module=Parallel())
    for kind, options in ((LookSAM, {"k": 1}), (ESAM, {}), (MSAM, {})):  # the climb leaves a direction only
        assert kind(params(), SGD, lr=0.1, ascent="local", module=Parallel(), **options).ascent_scope == "local"


@pytest.mark.parametrize("base", [ADAM, SGD, torch.optim.AdamW, torch.optim.RMSprop, geoopt.optim.RiemannianSGD])
def test_groups_and_state_are_shared(base: Any) -> None:
    opt = SAM(params(), base, lr=0.1)
    assert opt.param_groups is opt.base.param_groups
    assert opt.state is opt.base.state
    assert opt.defaults["rho"] == 0.05
    assert opt.defaults["lr"] == 0.1


def test_named_parameters() -> None:
    model = nn.Linear(2, 1)
    opt = SAM(model.named_parameters(), SGD, lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    assert opt.param_groups[0]["params"][0] is model.weight


@pytest.mark.parametrize(
    ("value", "default"),
    [(1, 0.5), (0.5, 1.0), (np.float64(0.5), 0.5), (3, 2), (np.int64(3), 2), (False, True), ("b", "a"), ("x", None)],
)
def test_kinds_that_fit(value: Any, default: Any) -> None:
    check_kind("option", value, default)


@pytest.mark.parametrize(
    ("value", "default", "words"),
    [
        ("0.5", 0.5, "a number such as 0.5, found '0.5'"),
        (True, 0.5, "a number such as 0.5, found True"),
        (None, 0.5, "a number such as 0.5, found None"),
        ([1.0], 0.5, "a number"),
        (1.5, 2, "a whole number such as 2, found 1.5"),
        (True, 2, "a whole number such as 2, found True"),
        (1, True, "true or false, found 1"),
        ("no", True, "true or false, found 'no'"),
        (1, "a", "a name such as a, found 1"),
    ],
)
def test_kinds_that_do_not(value: Any, default: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"expected option to be {re.escape(words)}"):
        check_kind("option", value, default)
