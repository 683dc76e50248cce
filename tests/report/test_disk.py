"""Geodesics are geodesics, projections keep what they say they keep, and the picture shows it."""

from pathlib import Path

import geoopt
import numpy as np
import pytest
import torch
from PIL import Image

from gsam.kg import Embeddings, build_model, embeddings
from gsam.report import embedding_picture
from gsam.report.disk import disk_points, geodesics
from tests.kg.toy_graph import SIZE, toy_graph


def as_rows(points: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([points.real, points.imag], -1))


def random_disk(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sqrt(rng.random(count)) * 0.98 * np.exp(2j * np.pi * rng.random(count))


def test_geodesics_against_geoopt() -> None:
    start, end = random_disk(50), random_disk(50, 1)
    arcs, ball = geodesics(start, end, 9), geoopt.PoincareBall()
    for place, share in enumerate(np.linspace(0, 1, 9)):
        expected = ball.geodesic(torch.tensor(share).double(), as_rows(start), as_rows(end))
        assert torch.allclose(as_rows(arcs[:, place]), expected, atol=1e-7)


def test_geodesics_lie_on_circles_that_meet_the_boundary_at_right_angles() -> None:
    start, end = random_disk(20), random_disk(20, 1)
    arcs = geodesics(start, end)
    # a circle about m with radius r meets the unit circle at right angles if |m|^2 = 1 + r^2,
    # so that its points p have 2 Re(conj(m) p) = 1 + |p|^2
    for arc in arcs:
        rows = 2 * np.stack([arc.real, arc.imag], 1)
        centre, *_ = np.linalg.lstsq(rows, 1 + np.abs(arc) ** 2, rcond=None)
        assert np.allclose(rows @ centre, 1 + np.abs(arc) ** 2, atol=1e-6)


def test_a_segment_without_length_and_one_through_the_origin() -> None:
    point = np.array([0.3 + 0.4j, 0.5])
    assert np.allclose(geodesics(point, point), point[:, None])
    straight = geodesics(np.array([-0.6 + 0j]), np.array([0.6 + 0j]), 5)
    assert np.allclose(straight.imag, 0)
    assert np.isclose(straight[0, 2], 0)


@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
def test_two_dimensions_are_the_disk_itself(c: float) -> None:
    found = embeddings(build_model("hybonet", SIZE, 4, 2, curvature=c))
    placed = disk_points(found)
    assert placed.hyperbolic
    assert torch.allclose(as_rows(placed.points), found.poincare * c**0.5)
    assert np.abs(placed.points).max() < 1


def test_one_dimension_lies_on_a_line() -> None:
    placed = disk_points(embeddings(build_model("hybonet", SIZE, 4, 1)))
    assert np.abs(placed.points.imag).max() == 0
    assert np.abs(placed.points.real).max() > 0


@pytest.mark.parametrize("c", [0.5, 2.0])
def test_a_plane_through_the_origin_is_projected_without_loss(c: float) -> None:
    """Points of a totally geodesic plane, turned into eight dimensions: distances in the disk are the true ones."""
    rng, ball = np.random.default_rng(0), geoopt.PoincareBall(c=c)
    axes = np.linalg.qr(rng.normal(size=(8, 2)))[0]
    flat = as_rows(random_disk(30)).numpy() * 0.8 / c**0.5
    points = torch.from_numpy(flat @ axes.T)
    found = Embeddings("poincare", tuple("abcdefgh"), points, c, points, ball.dist0(points))
    placed = as_rows(disk_points(found).points) / c**0.5
    assert torch.allclose(ball.dist(placed[:1], placed), ball.dist(points[:1], points), atol=1e-6)
    assert "100%" in disk_points(found).caption


def test_a_projection_brings_no_point_farther_out() -> None:
    found = embeddings(build_model("hybonet", SIZE, 4, 8))
    placed = disk_points(found)
    radius = 2 * np.arctanh(np.abs(placed.points))
    assert (radius <= found.distance.numpy() + 1e-9).all()
    assert 0.25 < float(placed.caption.split("(")[1].split("%")[0]) / 100 < 1


def test_flat_embeddings_are_put_on_their_principal_components() -> None:
    table = torch.randn(SIZE, 5, generator=torch.Generator().manual_seed(0))
    placed = disk_points(Embeddings("euclidean", tuple("abcde"), table))
    assert not placed.hyperbolic
    values = np.linalg.svd((table - table.mean(0)).numpy(), compute_uv=False)
    assert np.isclose((placed.points.real**2).sum(), values[0] ** 2, rtol=1e-5)
    assert np.isclose((placed.points.imag**2).sum(), values[1] ** 2, rtol=1e-5)


def picture(tmp_path: Path, **options) -> np.ndarray:
    graph = options.pop("graph", toy_graph())
    found = embeddings(build_model(options.pop("model", "hybonet"), graph.num_entities, 4, 4))
    embedding_picture(found, graph, tmp_path / "disk.png", title="toy", **options)
    return np.asarray(Image.open(tmp_path / "disk.png").convert("RGB")).astype(int)


def coloured(image: np.ndarray) -> int:
    return int((np.ptp(image, axis=2) > 60).sum())


def test_relations_colour_the_edges(tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert coloured(picture(tmp_path)) > 3000
    assert coloured(picture(tmp_path, edges=20)) < coloured(picture(tmp_path))


def test_depth_colours_the_entities(tmp_path: Path) -> None:
    graph = toy_graph(entity_depth=torch.arange(SIZE) % 4 - 1)  # some without a depth
    assert coloured(picture(tmp_path, graph=graph)) > 3000
    assert coloured(picture(tmp_path, graph=graph, colour="relation")) > 3000


def test_flat_space_has_no_boundary(tmp_path: Path) -> None:
    curved, flat = picture(tmp_path), picture(tmp_path, model="mure")
    dark = (np.array([51, 51, 51]) == curved).all(2).sum(), (np.array([51, 51, 51]) == flat).all(2).sum()
    assert dark[0] > 2000 > dark[1]


def test_many_relations_share_a_colour(tmp_path: Path) -> None:
    triples = toy_graph().train.clone()
    triples[:, 1] = torch.arange(len(triples)) % 30
    graph = toy_graph(train=triples, relations=tuple(f"relation {i}" for i in range(30)))
    found = embeddings(build_model("hybonet", SIZE, 30, 4))
    embedding_picture(found, graph, tmp_path / "disk.png", title="many")
    assert coloured(np.asarray(Image.open(tmp_path / "disk.png").convert("RGB")).astype(int)) > 3000


def test_wrong_colours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="depth, relation"):
        picture(tmp_path, colour="mood")
    with pytest.raises(ValueError, match="take relation"):
        picture(tmp_path, colour="depth")
    assert not list(tmp_path.iterdir())
