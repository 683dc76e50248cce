"""Pictures of embeddings: entities in the Poincare disk, edges as geodesics, coloured by depth or relation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gsam.files import atomic_write

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph
    from gsam.kg.embed import Embeddings

COLOURS = ("depth", "relation")
_POINTS_OF_ARC = 24
_NAMED_RELATIONS = 9  # more would have colours that look alike
_LOOKED_AT = 200  # entities that may get a label


class DiskPoints(NamedTuple):
    """Entities in the plane.

    Attributes:
        points: complex [N]; in hyperbolic space within the unit disk.
        caption: how they got there.
        hyperbolic: whether the disk is hyperbolic space, and not a plane.
    """

    points: np.ndarray
    caption: str
    hyperbolic: bool


def disk_points(found: Embeddings) -> DiskPoints:
    r"""Bring the coordinates of N entities down to two dimensions.

    Two hyperbolic dimensions are the Poincare disk itself. More are projected: the logarithm takes the points to the
    tangent space at the origin, where they are projected to their first two principal axes (of second moments about
    the origin, which stays the centre), and the exponential map leads to the disk. No point thereby gets farther from
    the origin. Flat coordinates are projected to their first two principal components.

    Args:
        found: :func:`gsam.kg.embeddings` of a model.
    """
    if found.poincare is None or found.distance is None or found.curvature is None:
        return _plane(found.coordinates.double().numpy())
    ball, root = found.poincare.numpy(), found.curvature**0.5
    count = ball.shape[1]
    if count <= 2:
        points = np.pad(ball * root, ((0, 0), (0, 2 - count)))
        return DiskPoints(points[:, 0] + 1j * points[:, 1], f"the embedding itself, d = {count}", True)
    distance = found.distance.numpy()
    norm = np.linalg.norm(ball, axis=1, keepdims=True)
    tangent = ball * (distance[:, None] / np.maximum(norm, np.finfo(float).tiny))
    plane, share = _principal(tangent)
    radius = np.abs(plane)
    scale = np.tanh(radius * root / 2) / np.maximum(radius, np.finfo(float).tiny)
    caption = f"d = {count}, on two principal axes of the tangent space at the origin ({share:.0%} of squared lengths)"
    return DiskPoints(plane * scale, caption, True)


def _plane(coordinates: np.ndarray) -> DiskPoints:
    plane, share = _principal(coordinates - coordinates.mean(0))
    caption = f"flat space, d = {coordinates.shape[1]}; first two principal components ({share:.0%} of the variance)"
    return DiskPoints(plane, caption, False)


def _principal(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows [N, d] on their two principal axes, complex [N], and the share of the squared length on them."""
    values, axes = np.linalg.eigh(rows.T @ rows)
    plane = np.zeros((len(rows), 2))
    plane[:, : min(2, rows.shape[1])] = rows @ axes[:, ::-1][:, :2]
    return plane[:, 0] + 1j * plane[:, 1], float(values[::-1][:2].sum() / max(values.sum(), np.finfo(float).tiny))


def geodesics(start: np.ndarray, end: np.ndarray, points: int = _POINTS_OF_ARC) -> np.ndarray:
    r"""Points of the hyperbolic segments between points of the unit disk, evenly spaced in hyperbolic length.

    A Moebius map takes the start a to 0, where the segment is straight, and another one brings it back:

    .. math::
        z = \frac{b - a}{1 - \bar a b}, \quad
        w_t = \tanh(t \operatorname{artanh} |z|)\, z / |z|, \quad
        p_t = \frac{w_t + a}{1 + \bar a w_t}

    Args:
        start: a, complex [E].
        end: b, complex [E].
        points: P, at least 2.

    Returns:
        complex [E, P].
    """
    a, b = start[:, None], end[:, None]
    z = (b - a) / (1 - a.conj() * b)
    length = np.minimum(np.abs(z), 1 - np.finfo(float).eps)
    direction = z / np.maximum(np.abs(z), np.finfo(float).tiny)
    moved = np.tanh(np.linspace(0, 1, points) * np.arctanh(length)) * direction
    return np.asarray((moved + a) / (1 + a.conj() * moved))


def embedding_picture(
    found: Embeddings,
    graph: KnowledgeGraph,
    path: str | Path,
    *,
    title: str,
    colour: str | None = None,
    edges: int = 3000,
    labels: int = 12,
) -> None:
    """Draw the entities of a graph in the Poincare disk (flat embeddings: in a plane), and its training triples.

    Args:
        found: :func:`gsam.kg.embeddings` of a model of the graph.
        graph: names, triples, and depths where it has them.
        path: a ``.png`` file.
        title: of the picture.
        colour: ``"depth"`` colours entities, ``"relation"`` edges; by default depths where the graph has them.
        edges: triples to draw at most, a random sample of them if there are more.
        labels: names to write at most, where there is room: of the shallowest entities, or without depths of those
            nearest to the centre.

    Raises:
        ValueError: the colour is unknown, or the graph has no depths to colour by.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = _colour(colour, graph)
    placed = disk_points(found)
    triples, drawn = _sample(graph.train.numpy(), edges)
    figure = Figure(figsize=(8.4, 7.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    (_draw_by_depth if chosen == "depth" else _draw_by_relation)(axes, placed, graph, triples)
    _draw_frame(axes, placed)
    _write_labels(axes, placed, graph, labels)
    axes.set_title(title)
    caption = f"{placed.caption}\n{graph.num_entities:,} entities, {drawn} training triples as "
    figure.supxlabel(caption + ("geodesics" if placed.hyperbolic else "lines"), fontsize=8, color="0.3")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _colour(wanted: str | None, graph: KnowledgeGraph) -> str:
    if wanted is not None and wanted not in COLOURS:
        raise ValueError(f"expected a colour among {', '.join(COLOURS)}, found {wanted!r}")
    if wanted == "depth" and graph.entity_depth is None:
        raise ValueError(f"expected depths of the entities of {graph.name} to colour by, found none; take relation")
    return wanted or ("relation" if graph.entity_depth is None else "depth")


def _sample(triples: np.ndarray, limit: int) -> tuple[np.ndarray, str]:
    """At most so many triples without loops, and how many of how many they are."""
    proper = triples[triples[:, 0] != triples[:, 2]]
    if len(proper) <= limit:
        return proper, f"{len(proper):,}"
    chosen = np.random.default_rng(0).choice(len(proper), limit, replace=False)
    return proper[np.sort(chosen)], f"{limit:,} of {len(proper):,}"


def _draw_edges(axes: Any, placed: DiskPoints, triples: np.ndarray, **style: Any) -> None:
    from matplotlib.collections import LineCollection

    start, end = placed.points[triples[:, 0]], placed.points[triples[:, 2]]
    lines = geodesics(start, end) if placed.hyperbolic else np.stack([start, end], 1)
    axes.add_collection(LineCollection(list(np.stack([lines.real, lines.imag], -1)), rasterized=True, **style))


def _draw_by_depth(axes: Any, placed: DiskPoints, graph: KnowledgeGraph, triples: np.ndarray) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    depth = graph.entity_depth.numpy()  # type: ignore[union-attr]
    known = depth >= 0
    bounds = np.arange(depth[known].min(), depth[known].max() + 2) - 0.5
    colours = colormaps["turbo"].resampled(256)
    _draw_edges(axes, placed, triples, colors="0.4", linewidths=0.3, alpha=0.13, zorder=1)
    order = np.argsort(-depth, kind="stable")  # the shallow ones on top
    scatter = axes.scatter(
        placed.points.real[order],
        placed.points.imag[order],
        c=np.where(known, depth, bounds[0])[order],
        s=np.where(known, 36 / (1 + 0.5 * np.maximum(depth, 0)), 6)[order],
        cmap=colours,
        norm=BoundaryNorm(bounds, 256),
        linewidths=0.2,
        edgecolors="white",
        zorder=2,
    )
    ticks = (bounds[:-1] + 0.5).astype(int)
    axes.figure.colorbar(scatter, ax=axes, label="depth below the root", ticks=ticks, shrink=0.6, pad=0.02)


def _draw_by_relation(axes: Any, placed: DiskPoints, graph: KnowledgeGraph, triples: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    common = np.bincount(graph.train[:, 1].numpy(), minlength=graph.num_relations).argsort(kind="stable")[::-1]
    named, rest = common[:_NAMED_RELATIONS], common[_NAMED_RELATIONS:]
    groups = [(graph.relations[r], [r], f"C{number}") for number, r in enumerate(named)]
    if len(rest):
        groups.append((f"{len(rest)} others", list(rest), "0.6"))
    handles = []
    for name, members, colour in reversed(groups):  # the rare ones below
        rows = triples[np.isin(triples[:, 1], members)]
        _draw_edges(axes, placed, rows, colors=colour, linewidths=0.45, alpha=0.5, zorder=1)
        handles.append(Line2D([], [], color=colour, label=name if len(name) < 40 else name[:38] + "…"))
    axes.plot(placed.points.real, placed.points.imag, ".", color="0.15", markersize=2, zorder=2, rasterized=True)
    axes.legend(handles=handles[::-1], loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def _draw_frame(axes: Any, placed: DiskPoints) -> None:
    from matplotlib.patches import Circle

    axes.set_aspect("equal")
    axes.axis("off")
    if placed.hyperbolic:
        axes.add_patch(Circle((0, 0), 1, fill=False, color="0.2", linewidth=1.2))
        axes.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
    else:
        axes.autoscale_view()


def _write_labels(axes: Any, placed: DiskPoints, graph: KnowledgeGraph, count: int) -> None:
    """Names of the shallowest entities, or of those nearest to the centre, beside their points, none over another."""
    from matplotlib.patheffects import withStroke

    size = 1.0 if placed.hyperbolic else float(np.abs(placed.points).max())
    taken: list[tuple[float, float, float, float]] = []
    for index in _first_to_name(placed, graph)[:_LOOKED_AT]:
        x, y = placed.points[index].real, placed.points[index].imag
        name = graph.entities[index]
        name = name if len(name) < 30 else name[:28] + "…"
        box = (x, y - 0.025 * size, x + (0.04 + 0.0185 * len(name)) * size, y + 0.025 * size)
        if len(taken) == count:
            return
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            continue
        taken.append(box)
        effect = withStroke(linewidth=2, foreground="white")
        axes.annotate(
            name, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=7, zorder=4, path_effects=[effect]
        )


def _first_to_name(placed: DiskPoints, graph: KnowledgeGraph) -> np.ndarray:
    """Entities by depth where there is one, those without one last, then by distance from the centre."""
    depth = np.zeros(graph.num_entities) if graph.entity_depth is None else graph.entity_depth.numpy()
    return np.lexsort((np.abs(placed.points), np.where(depth < 0, np.inf, depth)))
