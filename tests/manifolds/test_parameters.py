"""Manifolds of parameters, through everything that replaces a parameter."""

from __future__ import annotations

import copy
import pickle

import geoopt
import pytest
import torch
from torch import Tensor, nn

from gsam.manifolds import Lorentz, PoincareBall, manifold_groups, manifold_of, record

MANIFOLDS = [
    geoopt.Euclidean(ndim=1),
    geoopt.Sphere(),
    geoopt.Stiefel(),
    geoopt.PoincareBall(),
    geoopt.Lorentz(),
    geoopt.ProductManifold((geoopt.Sphere(), 2), (geoopt.Euclidean(), 2)),
    geoopt.Scaled(geoopt.Sphere(), 2.0),
    Lorentz(),
    PoincareBall(),
]


class Model(nn.Module):
    """A table on the hyperboloid, recorded, another on the ball, not recorded, and plain numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.manifold = Lorentz(0.5, learnable=True)
        self.table = nn.Embedding(6, 4)
        self.table.weight = geoopt.ManifoldParameter(self.manifold.random_normal(6, 4), manifold=self.manifold)
        record(self, "table.weight", self.manifold)
        self.ball = geoopt.ManifoldParameter(PoincareBall().random_normal(6, 3))
        self.linear = nn.Linear(2, 2)
        self.twin = self.linear


def names(module: nn.Module) -> dict[str, list[str]]:
    """The groups, by the names of manifolds and parameters."""
    known = {id(param): name for name, param in module.named_parameters()}
    groups = manifold_groups(module)
    found = {type(g["manifold"]).__name__: [known[id(param)] for param in g["params"]] for g in groups}
    assert len(found) == len(groups)
    return found


EXPECTED = {
    "NoneType": ["manifold.log_c", "linear.weight", "linear.bias"],
    "Lorentz": ["table.weight"],
    "PoincareBall": ["ball"],
}


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=lambda m: m.name)
def test_every_manifold_of_geoopt(manifold: geoopt.manifolds.base.Manifold) -> None:
    start = manifold.projx(torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).detach()
    param = geoopt.ManifoldParameter(start, manifold=manifold)
    assert manifold_of(param) is manifold
    owner = nn.ParameterList([param, nn.Parameter(torch.zeros(2))])
    groups = manifold_groups(owner)
    assert [group["manifold"] for group in groups] == [manifold, None]
    assert [group["params"][0] is param for group in groups] == [True, False]
    optimizer = geoopt.optim.RiemannianSGD(groups, lr=0.1)  # a group may carry more than an optimizer reads
    param[:2].square().sum().backward()
    optimizer.step()
    assert manifold.check_point_on_manifold(param.detach())


def test_manifold_of_plain_tensors() -> None:
    sphere = geoopt.Sphere()
    plain = nn.Parameter(torch.zeros(3))
    assert type(manifold_of(plain)) is geoopt.Euclidean
    assert manifold_of(plain) is manifold_of(torch.zeros(2))
    assert manifold_of(plain, sphere) is sphere
    own = geoopt.ManifoldParameter(torch.zeros(3))
    assert type(manifold_of(own, sphere)) is geoopt.Euclidean


def test_groups_of_a_module() -> None:
    model = Model()
    assert names(model) == EXPECTED
    by_kind = {type(group["manifold"]).__name__: group for group in manifold_groups(model)}
    assert by_kind["Lorentz"]["manifold"] is model.manifold
    assert sum(len(group["params"]) for group in by_kind.values()) == len(list(model.parameters()))


def test_a_tied_parameter_is_listed_once() -> None:
    """Two modules may hold one parameter; an optimizer would refuse, or step, it twice."""
    pair = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    pair[1].weight = pair[0].weight
    (group,) = manifold_groups(pair)
    assert [param is pair[0].weight for param in group["params"]] == [True]


def test_the_record_outlives_the_parameter() -> None:
    """Each way loses the class of a ManifoldParameter; what was recorded stays, what was not is a plain parameter."""
    lost = {"NoneType": ["manifold.log_c", "ball", "linear.weight", "linear.bias"], "Lorentz": ["table.weight"]}
    assigned = Model()
    assigned.load_state_dict(copy.deepcopy(Model().state_dict()), assign=True)
    assert type(assigned.table.weight) is nn.Parameter
    swapped = Model()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        swapped = swapped.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    for model in (assigned, swapped, Model().to("meta")):
        assert {name: sorted(found) for name, found in names(model).items()} == {k: sorted(v) for k, v in lost.items()}
        groups = {type(group["manifold"]).__name__: group for group in manifold_groups(model)}
        assert groups["Lorentz"]["manifold"] is model.manifold


def test_copies_keep_their_own_manifold() -> None:
    for copied in (copy.deepcopy(Model()), pickle.loads(pickle.dumps(Model()))):
        assert names(copied) == EXPECTED
        groups = {type(group["manifold"]).__name__: group for group in manifold_groups(copied)}
        assert groups["Lorentz"]["manifold"] is copied.manifold


def test_records_are_no_state() -> None:
    model = Model()
    assert set(model.state_dict()) == {
        "manifold.log_c",
        "table.weight",
        "ball",
        "linear.weight",
        "linear.bias",
        *twin(),
    }
    assert len(list(model.modules())) == 4


def twin() -> set[str]:
    return {"twin.weight", "twin.bias"}


def test_a_parameter_of_its_own_manifold_wins() -> None:
    model = Model()
    record(model, "ball", geoopt.Euclidean())
    assert names(model)["PoincareBall"] == ["ball"]
    model.ball = nn.Parameter(torch.zeros(6, 3))
    assert "PoincareBall" not in names(model)


def test_training_with_the_groups() -> None:
    """Both kinds of parameter move, and the points stay where they belong."""
    model = Model()
    optimizer = geoopt.optim.RiemannianAdam(manifold_groups(model), lr=0.05)
    before = copy.deepcopy(model.state_dict())

    def loss() -> Tensor:
        distances = Lorentz(0.5).dist(model.table.weight[:3], model.table.weight[3:])
        return distances.sum() + model.ball.square().sum() + model.linear.weight.square().sum()

    first = loss()
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss() < first
    moved = {name for name, param in model.named_parameters() if not torch.equal(param, before[name])}
    assert moved == {"table.weight", "ball", "linear.weight"}
    assert Lorentz(0.5).check_point_on_manifold(model.table.weight)


def test_errors_of_record() -> None:
    model = Model()
    with pytest.raises(KeyError, match=r"expected the name of a parameter of Model, found 'tabel'; there are: ball, "):
        record(model, "tabel", Lorentz())
    with pytest.raises(ValueError, match=r"shape \(\.\.\., d \+ 1\)"):
        record(nn.ParameterDict({"a": nn.Parameter(torch.zeros(3, 1))}), "a", Lorentz())
