"""The coordinates that a model has given the entities, and files of them for other tools."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from gsam.files import atomic_write

if TYPE_CHECKING:
    from gsam.datasets import KnowledgeGraph


@dataclass(frozen=True, eq=False)
class Embeddings:
    r"""Where N entities lie; all tensors are on the CPU.

    Attributes:
        space: ``"lorentz"``: points of the hyperboloid, time first; ``"poincare"``: points of the ball; ``"tangent"``:
            vectors u of the tangent space at the ball's origin, the point being :math:`\exp_0(u)`; ``"euclidean"``.
        columns: names of the coordinates.
        coordinates: as the model has them, [N, len(columns)].
        curvature: c, minus the curvature, in hyperbolic space. Where every relation has a curvature of its own (RotH,
            RefH, AttH), their geometric mean.
        poincare: the points in the Poincare ball of radius :math:`1/\sqrt c`, float64 [N, d], in hyperbolic space.
        distance: from the origin, float64 [N]. In a tangent space it is 2 \|u\|, whatever the curvature.
    """

    space: str
    columns: tuple[str, ...]
    coordinates: Tensor
    curvature: float | None = None
    poincare: Tensor | None = None
    distance: Tensor | None = None


@torch.no_grad()
def embeddings(model: nn.Module) -> Embeddings:
    """The entities' coordinates.

    Args:
        model: of this package, or a :class:`torch_geometric.nn.kge.KGEModel`, with a table ``node_emb`` on a hyperbolic
            manifold or none (``node_emb_im``, if there is one, has the imaginary parts).

    Raises:
        ValueError: the model has no such table, its manifold is another one, a coordinate is NaN or infinite, or a
            point lies outside the Poincare ball.
    """
    table = getattr(model, "node_emb", None)
    if not isinstance(table, nn.Embedding):
        raise ValueError(f"expected a model with a table node_emb of its entities, found {type(model).__name__}")
    weight = table.weight.detach().cpu()
    if not bool(weight.isfinite().all()):
        raise ValueError("expected finite embeddings, found NaN or infinity; the model has diverged")
    if isinstance(curvatures := getattr(model, "rel_curvature", None), nn.Embedding):
        of_relations: Any = model
        found = of_relations.curvatures(torch.arange(curvatures.num_embeddings, device=curvatures.weight.device))
        return _tangent(weight, float(found.double().log().mean().exp()))
    return _on_manifold(model, table, weight)


def _on_manifold(model: nn.Module, table: nn.Embedding, weight: Tensor) -> Embeddings:
    from geoopt import Euclidean

    from gsam.manifolds import Lorentz, from_geoopt, manifold_of

    found = manifold_of(table.weight, getattr(model, "manifold", None))
    if isinstance(found, Euclidean):
        return _euclidean(model, weight)
    try:
        manifold = from_geoopt(found)
    except TypeError as error:
        raise ValueError(f"expected entities in hyperbolic or flat space, found {found}") from error
    return (_lorentz if isinstance(manifold, Lorentz) else _poincare)(weight, float(manifold.c))


def _lorentz(weight: Tensor, c: float) -> Embeddings:
    from gsam.manifolds import lorentz_math

    points = lorentz_math.lift(weight[:, 1:].double(), c)  # time recomputed, as the models do
    columns = ("time", *_numbered("x", weight.shape[1] - 1))
    ball = lorentz_math.to_poincare(points, c)
    return Embeddings("lorentz", columns, points.to(weight.dtype), c, ball, lorentz_math.distance0(points, c))


def _poincare(weight: Tensor, c: float) -> Embeddings:
    from gsam.manifolds import poincare_math

    ball, columns = weight.double(), _numbered("x", weight.shape[1])
    distance = poincare_math.distance0(ball, c)
    if not bool(distance.isfinite().all()):
        raise ValueError("expected points inside the Poincare ball, found some outside; the model has diverged")
    return Embeddings("poincare", columns, weight.clone(), c, ball, distance)


def _tangent(weight: Tensor, c: float) -> Embeddings:
    from gsam.manifolds import poincare_math

    vectors = weight.double()
    distance = 2 * torch.linalg.vector_norm(vectors, dim=-1)
    ball = poincare_math.expmap0(vectors, c)
    return Embeddings("tangent", _numbered("u", weight.shape[1]), weight.clone(), c, ball, distance)


def _euclidean(model: nn.Module, weight: Tensor) -> Embeddings:
    imaginary = getattr(model, "node_emb_im", None)
    if not isinstance(imaginary, nn.Embedding):
        return Embeddings("euclidean", _numbered("x", weight.shape[1]), weight.clone())
    columns = (*_numbered("re", weight.shape[1]), *_numbered("im", weight.shape[1]))
    return Embeddings("euclidean", columns, torch.cat([weight, imaginary.weight.detach().cpu()], 1))


def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(1, count + 1))


# -- files -------------------------------------------------------------------------------------------------------------


def save_embeddings(found: Embeddings, graph: KnowledgeGraph, path: str | Path, *, format: str | None = None) -> None:
    """Write the entities' names and coordinates to a file, whole or not at all.

    ``npz``: ``numpy.load`` gives ``entities`` (names), ``coordinates`` and ``columns``, ``space``; in hyperbolic space
    also ``curvature``, ``poincare`` and ``distance``; where the graph has it, ``depth``. ``tsv``: a header and a line
    for each entity, with the same columns (``poincare1``, ...); names with tabs are quoted. ``graphml``: a directed
    multigraph for Gephi, yEd, networkx, ...: a node for each entity, its attributes the same columns, an edge for each
    training triple with its ``relation``.

    Args:
        found: :func:`embeddings` of a model of the graph.
        graph: N entities with their names.
        path: the file.
        format: one of :data:`EMBEDDING_FORMATS`; by default the ending of the path.

    Raises:
        ValueError: the format is unknown, or the graph has another number of entities.
    """
    chosen = Path(path).suffix.removeprefix(".") if format is None else format
    if chosen not in EMBEDDING_FORMATS:
        raise ValueError(f"expected a format among {', '.join(EMBEDDING_FORMATS)}, found {chosen!r}")
    if len(found.coordinates) != graph.num_entities:
        raise ValueError(f"expected coordinates of {graph.num_entities} entities, found {len(found.coordinates)}")
    with atomic_write(path) as file:
        EMBEDDING_FORMATS[chosen](file, found, graph)


def _write_npz(file: BinaryIO, found: Embeddings, graph: KnowledgeGraph) -> None:
    arrays: dict[str, Any] = {
        "entities": np.array(list(graph.entities)),
        "columns": np.array(found.columns),
        "space": np.array(found.space),
        "coordinates": found.coordinates.numpy(),
    }
    if found.poincare is not None and found.distance is not None:
        hyperbolic = {"poincare": found.poincare.numpy(), "distance": found.distance.numpy()}
        arrays |= {"curvature": np.array(found.curvature), **hyperbolic}
    if graph.entity_depth is not None:
        arrays["depth"] = graph.entity_depth.numpy()
    np.savez_compressed(file, **arrays)


def _write_tsv(file: BinaryIO, found: Embeddings, graph: KnowledgeGraph) -> None:
    table = _columns(found, graph)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["entity", *table])
    for name, row in zip(graph.entities, _rows(table), strict=True):
        writer.writerow([name, *(f"{value:.9g}" for value in row)])
    text.detach()  # flushes, and leaves the file open


def _write_graphml(file: BinaryIO, found: Embeddings, graph: KnowledgeGraph) -> None:
    import networkx as nx

    table, written = _columns(found, graph), nx.MultiDiGraph(name=_xml(graph.name), space=found.space)
    if found.curvature is not None:
        written.graph["curvature"] = found.curvature
    for index, (name, row) in enumerate(zip(graph.entities, _rows(table), strict=True)):
        written.add_node(index, name=_xml(name), **dict(zip(table, row, strict=True)))
    relations = [_xml(name) for name in graph.relations]
    for head, relation, tail in graph.train.tolist():
        written.add_edge(head, tail, relation=relations[relation])
    nx.write_graphml(written, file)


def _columns(found: Embeddings, graph: KnowledgeGraph) -> dict[str, np.ndarray]:
    """The numbers of each entity by name, in the order of a table."""
    table = dict(zip(found.columns, found.coordinates.double().numpy().T, strict=True))
    if found.poincare is not None and found.distance is not None:
        table |= dict(zip(_numbered("poincare", found.poincare.shape[1]), found.poincare.numpy().T, strict=True))
        table["distance"] = found.distance.numpy()
    if graph.entity_depth is not None:
        table["depth"] = graph.entity_depth.numpy()
    return table


def _rows(table: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in table.values()), strict=True)


def _xml(text: str) -> str:
    """The text, with what XML cannot hold replaced."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


#: writers of embeddings by format
EMBEDDING_FORMATS: Mapping[str, Callable[[BinaryIO, Embeddings, KnowledgeGraph], None]] = {
    "npz": _write_npz,
    "tsv": _write_tsv,
    "graphml": _write_graphml,
}
