"""Draw ``concepts.svg``: one step of SAM and one of FGSAM. The points are computed by the optimizers themselves.

Run from anywhere: ``python docs/figures/make_concepts.py [FILE]``; the format follows the suffix of FILE.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from torch import Tensor

from gsam.optim import FGSAM, SAM

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle

INK, UP, DOWN, PEER, BALL = "#30343b", "#c8452f", "#1f6fb2", "#238a57", "#8a5cb0"
START, RHO = (-0.9, 0.62), 0.95
Point = np.ndarray


def valley(w: Tensor, centre: tuple[float, float], degrees: float, along: float, across: float) -> Tensor:
    """A quadratic valley at an angle: ``w`` [..., 2] to the loss [...]."""
    angle = np.deg2rad(degrees)
    x, y = w[..., 0] - centre[0], w[..., 1] - centre[1]
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return 0.5 * (along * u**2 + across * v**2)


def gnn_loss(w: Tensor) -> Tensor:
    """Steep across, flat along."""
    return valley(w, (1.5, 0.75), 14.0, 0.22, 1.1)


def peer_loss(w: Tensor) -> Tensor:
    """Near the GNN's, turned, wider and shifted: the same weights without the graph."""
    return valley(w, (0.0, 0.0), -8.0, 0.25, 0.75)


def step(optimizer: type[SAM] | type[FGSAM], lr: float, second_loss: Callable[[Tensor], Tensor]) -> dict[str, Point]:
    """Points and gradients of one step: w, g there, the top, s there, G to descend with, and the next w."""
    w = torch.tensor(START, requires_grad=True)
    opt = optimizer([w], torch.optim.SGD, lr=lr, rho=RHO)

    def now(value: Tensor | None) -> Point:
        assert value is not None
        return value.detach().numpy().copy()

    gnn_loss(w).backward()
    found = {"w": now(w), "g": now(w.grad)}
    with opt.perturbed():
        second_loss(w).backward()
        found |= {"top": now(w), "s": now(w.grad)}
    found["G"] = now(w.grad)
    opt.descend()
    return {**found, "next": now(w)}


def contours(axes: Axes, loss: Callable[[Tensor], Tensor], colour: str, style: str = "solid") -> None:
    """Level lines of a loss."""
    x, y = np.meshgrid(np.linspace(-3.2, 2.6, 300), np.linspace(-1.6, 2.4, 240))
    z = loss(torch.from_numpy(np.stack([x, y], axis=-1))).numpy()
    levels = np.linspace(0.15, 1.8, 14) ** 2
    axes.contour(x, y, z, levels=levels, colors=colour, linewidths=0.8, linestyles=style, alpha=0.45)


def arrow(axes: Axes, tail: Point, head: Point, colour: str, **look: Any) -> None:
    """An arrow from ``tail`` to ``head``."""
    look = {"arrowstyle": "-|>", "mutation_scale": 15, "lw": 2.4, "shrinkA": 0, "shrinkB": 0, **look}
    axes.annotate("", head, tail, arrowprops={"color": colour, **look}, zorder=4)


def label(axes: Axes, at: Point, text: str, colour: str = INK) -> None:
    """A text with its left middle at a point."""
    box = {"facecolor": "white", "alpha": 0.9, "edgecolor": "none", "pad": 1.5}
    axes.text(*at, text, fontsize=11, color=colour, bbox=box, zorder=6, va="center")


def draw(axes: Axes, found: dict[str, Point], words: dict[str, str]) -> None:
    """The ball, the way up, the gradient there, the way back and the way down."""
    axes.add_patch(Circle(tuple(found["w"]), RHO, facecolor=BALL, alpha=0.08))
    axes.add_patch(Circle(tuple(found["w"]), RHO, fill=False, ls=(0, (4, 3)), lw=1.3, edgecolor=BALL))
    arrow(axes, found["w"], found["top"], UP)
    arrow(axes, found["top"], found["top"] - 0.55 * found["s"], PEER)
    arrow(axes, found["top"], found["w"], INK, connectionstyle="arc3,rad=-0.5", ls="--", lw=1.3, shrinkA=5, shrinkB=5)
    arrow(axes, found["w"], found["next"], DOWN)
    for name in ("w", "top", "next"):
        axes.plot(*found[name], "o", ms=7, color=INK, zorder=5)
    label(axes, found["w"] + [0.1, 0.06], "$w$")
    label(axes, found["top"] + [-0.95, 0.22], words["up"], UP)
    label(axes, found["top"] + [-0.98, -0.5], words["there"], PEER)
    label(axes, found["top"] + [0.5, 0.16], "3 back")
    label(axes, found["next"] + [0.1, -0.02], words["down"], DOWN)
    label(axes, found["w"] + [0.62, 0.78], "ball of radius $\\rho$\nin the metric", BALL)


def main() -> None:
    """Draw both panels and save them."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("concepts.svg")
    plt.rcParams.update({"svg.hashsalt": "gsam", "font.family": "DejaVu Sans"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.3), layout="constrained")
    contours(left, gnn_loss, INK)
    words = {"up": "1 climb to $w + \\epsilon$", "there": "2 downhill\nthere: $-s$", "down": "4 descend with $s$"}
    draw(left, step(SAM, 0.5, gnn_loss), words)
    left.set_title("SAM: up, gradient there, back, down", fontsize=13, color=INK, pad=8)
    contours(right, gnn_loss, UP)
    contours(right, peer_loss, PEER, "dashed")
    words = {
        "up": "1 the GNN climbs",
        "there": "2 downhill there\nfor the MLP: $-s$",
        "down": "4 descend with $\\lambda g + s$",
    }
    draw(right, step(FGSAM, 0.36, peer_loss), words)
    right.plot([], [], color=UP, lw=1, label="loss of the GNN")
    right.plot([], [], color=PEER, lw=1, ls="--", label="loss of its peer MLP, same weights")
    right.legend(loc="lower left", fontsize=10, framealpha=0.95)
    right.set_title("FGSAM: the GNN climbs, the MLP descends", fontsize=13, color=INK, pad=8)
    for axes in (left, right):
        axes.set(xlim=(-3.0, 1.1), ylim=(-0.7, 1.9), xticks=[], yticks=[], aspect="equal")
    figure.savefig(target, dpi=130, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
