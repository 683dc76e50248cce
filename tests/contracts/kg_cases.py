"""The configurations of every knowledge-graph model that its contract runs, and what the laws compare with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from geoopt import ManifoldParameter
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gsam.kg.model import KGModel
from gsam.kg.registry import KG_MODELS
from gsam.manifolds import manifold_groups

N, R, D, B = 17, 5, 6, 23
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """One configuration of a model, and values of its options that must be refused."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.options.items())])

    def build(self, dtype: torch.dtype = torch.float64, *, sparse: bool = False, device: str = "cpu") -> Any:
        """A model whose parameters are all of ordinary size, in training mode."""
        torch.manual_seed(3)
        model = KG_MODELS[self.name](N, R, D, sparse=sparse, **self.options).to(dtype)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.3)
        if isinstance(model, KGModel):
            model.constrain()
            model.prepare(torch.tensor([(0, 1, 2), (2, 1, 0), (0, 0, 2)]))
        return model.to(device)


CASES = [
    Case(
        "hybonet",
        refused={
            "margin": (float("nan"), float("inf")),
            "max_norm": (0.0, -1.0, float("nan")),
            "max_scale": (0.0, float("nan")),
            "symmetric_scale": (0.0, float("nan")),
            "functional_scale": (0.0, float("nan")),
            "score_by": ("reciprocal", "Asked"),
            "dropout": (-0.1, 1.0, float("nan")),
            "curvature": (0.0, -1.0, float("nan")),
        },
    ),
    Case("hybonet", {"curvature": 0.3, "max_norm": None, "max_scale": 2.0, "margin": 1.0}),
    Case("hybonet", {"curvature": 2.5, "dropout": 0.2}),
    Case("hybonet", {"symmetric_scale": 6.0}),
    Case("hybonet", {"symmetric_scale": 6.0, "functional_scale": 3.0, "score_by": "functional"}),
    Case("murp", refused={"max_norm": (0.0, 1.0, None, float("nan")), "curvature": (0.0, -1.0, float("nan"))}),
    Case("murp", {"curvature": 1.7, "max_norm": 0.9}),
    Case("mure"),
    Case("roth", refused={"curvature": (0.0, 1e-7, -1.0, float("nan"))}),
    Case("refh", {"curvature": 0.4}),
    Case("atth", {"curvature": 2.0}),
    Case("transe"),
    Case("transe", {"p_norm": 2.0}),
    Case("distmult"),
    Case("complex"),
    Case("rotate"),
]
OURS = [case for case in CASES if issubclass(KG_MODELS[case.name], KGModel)]


def triples(device: str = "cpu") -> Tensor:
    """B triples of all entities and relations, a head that is its tail and repeated ones among them."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.stack([torch.randint(size, (B,), generator=generator) for size in (N, R, N)], 1)
    drawn[0, 2] = drawn[0, 0]
    drawn[1] = drawn[2]
    return drawn.to(device)


def close(found: Tensor, expected: Tensor, dtype: torch.dtype, what: str = "") -> None:
    """Compare relative to the larger of 1 and the largest expected value; NaN is not close to anything."""
    assert found.shape == expected.shape, what
    error = (found.double() - expected.double()).abs().max() / expected.abs().max().clamp_min(1)
    assert error <= TOLERANCE[dtype], f"{what}: relative error {error}"


def riemannian(model: Any, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients with those of manifold parameters as tangent vectors, which do not depend on how a score is written."""
    parameters = dict(model.named_parameters())
    return {
        name: p.manifold.egrad2rgrad(p.detach(), g.clone())
        if isinstance(p := parameters[name], ManifoldParameter)
        else g
        for name, g in gradients.items()
    }


def gradients(model: Any, scores: Tensor) -> dict[str, Tensor]:
    """Gradients of a weighted sum of scores; dense, 0 where there is none."""
    model.zero_grad()
    (scores * torch.linspace(-1, 2, scores.numel()).to(scores).view_as(scores)).sum().backward()
    return {
        n: torch.zeros_like(p) if p.grad is None else p.grad.to_dense().clone() for n, p in model.named_parameters()
    }


class LargestTensor(TorchDispatchMode):
    """Notes the number of entries of the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = out if isinstance(out, (tuple, list)) else (out,)
        self.numel = max([self.numel, *(part.numel() for part in made if isinstance(part, Tensor))])
        return out


def coincident(case: Case) -> KGModel:
    """A model in which every relation keeps heads where they are, and two entities lie at the origin."""
    model = case.build().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in ("rel_emb.weight", "rel_bias.weight", "rel_context.weight"):
                parameter.zero_()
            elif name == "rel_diag.weight":
                diagonal = [1.0, 1.0] if case.name in ("murp", "mure") else [1.0, 0.0]
                parameter.copy_(torch.tensor(diagonal).repeat(parameter.shape[1] // 2).expand_as(parameter))
            elif name == "rel_transform":
                parameter.copy_(torch.eye(D + 1).expand_as(parameter))
        model.node_emb.weight[:, -D:] *= 0.5  # clear of the norm limit, which has a kink
        model.node_emb.weight[:2, -D:] = 0
    model.constrain()
    return model


def check_inside(model: Any, points: Tensor) -> bool:
    """Whether points lie on the model's manifold (1e-5 relative) and within its limit, from their definitions."""
    points, c = points.double(), model.manifold.c
    limit = 1e9 if model.max_norm is None else (1 + 1e-6) * model.max_norm
    if points.shape[1] == D:
        return bool((c**0.5 * points.norm(dim=1) <= limit).all())
    time, space = points[:, 0], points[:, 1:]
    error = (-time.square() + space.square().sum(1) + 1 / c).abs() / time.square()
    return bool((error <= 1e-5).all() and (c**0.5 * space.norm(dim=1) <= limit).all() and (time > 0).all())


def check_groups(model: Any) -> None:
    """The optimizer's groups cover the parameters once, and put the points on the model's own manifold."""
    groups = manifold_groups(model)
    placed = {id(p): group.get("manifold") for group in groups for p in group["params"]}
    assert len(placed) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    expected = {"hybonet": {"node_emb.weight"}, "murp": {"node_emb.weight", "rel_emb.weight"}}
    for name, parameter in model.named_parameters():
        lives = name in expected.get(type(model).__name__.lower(), ())
        assert (placed[id(parameter)] is model.manifold) if lives else (placed[id(parameter)] is None), name
