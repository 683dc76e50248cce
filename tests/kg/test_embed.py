"""Coordinates in every space against closed forms and geoopt, and files read back by other tools."""

import csv
import math
from pathlib import Path

import geoopt
import networkx as nx
import numpy as np
import pytest
import torch

from gsam.kg import build_model, embeddings, save_embeddings
from tests.kg.toy_graph import SIZE, toy_graph

GRAPH = toy_graph()


def model_of(name: str, dim: int = 6, **options):
    torch.manual_seed(0)
    model = build_model(name, SIZE, 4, dim, **options)
    if name in ("murp", "roth", "refh", "atth"):  # they start close to the origin
        with torch.no_grad():
            model.node_emb.weight.mul_(150)
    return model


@pytest.mark.parametrize("c", [0.25, 1.0, 4.0])
def test_lorentz_points_against_geoopt(c: float) -> None:
    model = model_of("hybonet", curvature=c)
    found = embeddings(model)
    assert (found.space, found.curvature, found.columns[:2]) == ("lorentz", c, ("time", "x1"))
    points = found.coordinates.double()
    assert torch.allclose(
        -(points[:, 0] ** 2) + points[:, 1:].square().sum(1), torch.tensor(-1 / c).double(), atol=1e-5
    )
    ball = geoopt.PoincareBall(c=c)
    assert torch.allclose(ball.dist0(found.poincare), found.distance, rtol=1e-6)
    space = model.node_emb.weight[:, 1:].detach().double()
    assert torch.allclose(found.distance, torch.asinh(math.sqrt(c) * space.norm(dim=1)) / math.sqrt(c))
    # distances between the points are those of the ball
    pairs = -points[0, 0] * points[1:, 0] + (points[0, 1:] * points[1:, 1:]).sum(1)
    expected = torch.acosh(-c * pairs) / math.sqrt(c)
    assert torch.allclose(ball.dist(found.poincare[0], found.poincare[1:]), expected, rtol=1e-4)


def test_a_wrong_time_coordinate_is_put_right() -> None:
    model = model_of("hybonet")
    right = embeddings(model).coordinates
    with torch.no_grad():
        model.node_emb.weight[:, 0] += 1.0
    assert torch.allclose(embeddings(model).coordinates, right)


def test_points_of_the_ball_and_tangent_vectors_against_geoopt() -> None:
    murp = model_of("murp", curvature=2.0)
    found, ball = embeddings(murp), geoopt.PoincareBall(c=2.0)
    assert (found.space, found.curvature) == ("poincare", 2.0)
    assert torch.equal(found.poincare, murp.node_emb.weight.detach().double())
    assert torch.allclose(found.distance, ball.dist0(found.poincare), rtol=1e-6)

    roth = model_of("roth")
    with torch.no_grad():
        roth.rel_curvature.weight.copy_(torch.linspace(-1, 2, 8)[:, None])
    found = embeddings(roth)
    curvatures = torch.nn.functional.softplus(torch.linspace(-1, 2, 8).double()) + 1e-6
    mean = float(curvatures.prod() ** (1 / 8))
    assert (found.space, found.curvature) == ("tangent", pytest.approx(mean, rel=1e-5))
    vectors = roth.node_emb.weight.detach().double()
    ball = geoopt.PoincareBall(c=found.curvature)
    assert torch.allclose(found.poincare, ball.expmap0(vectors), rtol=1e-6)
    assert torch.allclose(found.distance, ball.dist0(ball.expmap0(vectors)), rtol=1e-6)


@pytest.mark.parametrize("name", ["mure", "distmult", "transe"])
def test_flat_models_have_their_table(name: str) -> None:
    model = model_of(name)
    found = embeddings(model)
    assert (found.space, found.poincare, found.distance) == ("euclidean", None, None)
    assert torch.equal(found.coordinates, model.node_emb.weight.detach())


def test_complex_numbers_are_real_and_imaginary_parts() -> None:
    model = model_of("complex", 3)
    found = embeddings(model)
    assert found.columns == ("re1", "re2", "re3", "im1", "im2", "im3")
    assert torch.equal(found.coordinates[:, :3], model.node_emb.weight.detach())
    assert torch.equal(found.coordinates[:, 3:], model.node_emb_im.weight.detach())


def test_a_model_of_somebody_else_on_geoopts_lorentz_model() -> None:
    manifold = geoopt.Lorentz(k=2.0)
    model = torch.nn.Module()
    model.node_emb = torch.nn.Embedding(SIZE, 4)
    point = manifold.expmap0(manifold.proju(manifold.origin(SIZE, 4), torch.randn(SIZE, 4)))
    model.node_emb.weight = geoopt.ManifoldParameter(point, manifold=manifold)
    found = embeddings(model)
    assert (found.space, found.curvature) == ("lorentz", 0.5)
    assert torch.allclose(found.distance.float(), manifold.dist0(point), rtol=1e-4)


def test_what_has_no_coordinates_is_refused() -> None:
    with pytest.raises(ValueError, match="node_emb"):
        embeddings(torch.nn.Linear(2, 2))
    model = model_of("mure")
    model.node_emb.weight = geoopt.ManifoldParameter(torch.eye(SIZE)[:, :6], manifold=geoopt.Sphere())
    with pytest.raises(ValueError, match="Sphere"):
        embeddings(model)
    murp = model_of("murp")
    with torch.no_grad():
        murp.node_emb.weight[0] = 0.5
        model.node_emb.weight[0, 0] = math.inf
    with pytest.raises(ValueError, match="outside"):
        embeddings(murp)
    with pytest.raises(ValueError, match="diverged"):
        embeddings(model)


def test_npz_is_read_without_pickle(tmp_path: Path) -> None:
    found = embeddings(model_of("hybonet"))
    graph = toy_graph(entity_depth=torch.arange(SIZE) % 5)
    save_embeddings(found, graph, tmp_path / "e.npz")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as archive:
        assert archive["entities"].tolist() == list(graph.entities)
        assert np.array_equal(archive["coordinates"], found.coordinates.numpy())
        assert np.array_equal(archive["poincare"], found.poincare.numpy())
        assert np.array_equal(archive["distance"], found.distance.numpy())
        assert archive["columns"].tolist() == list(found.columns)
        assert (str(archive["space"]), float(archive["curvature"])) == ("lorentz", 1.0)
        assert archive["depth"].tolist() == [i % 5 for i in range(SIZE)]


def test_tsv_keeps_every_float32_and_names_with_tabs(tmp_path: Path) -> None:
    names = tuple('tab\there "quoted" ä\nline' if i == 3 else f"e{i}" for i in range(SIZE))
    found, graph = embeddings(model_of("mure")), toy_graph(entities=names)
    save_embeddings(found, graph, tmp_path / "e.tsv")
    with (tmp_path / "e.tsv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    assert header == ["entity", "x1", "x2", "x3", "x4", "x5", "x6"]
    assert [row[0] for row in rows] == list(names)
    assert np.array_equal(np.array([row[1:] for row in rows]).astype(np.float32), found.coordinates.numpy())


def test_graphml_has_names_coordinates_and_training_triples(tmp_path: Path) -> None:
    names = tuple("<a & b>\x07" if i == 3 else f"e{i}" for i in range(SIZE))
    found, graph = embeddings(model_of("hybonet")), toy_graph(entities=names)
    save_embeddings(found, graph, tmp_path / "e.graphml")
    read = nx.read_graphml(tmp_path / "e.graphml", node_type=int, force_multigraph=True)
    assert read.is_directed()
    assert [read.nodes[i]["name"] for i in range(SIZE)] == ["<a & b>\ufffd" if i == 3 else f"e{i}" for i in range(SIZE)]
    for column, place in (("time", 0), ("x6", 6)):
        numbers = [read.nodes[i][column] for i in range(SIZE)]
        assert numbers == found.coordinates.double()[:, place].tolist()
    assert [read.nodes[i]["poincare2"] for i in range(SIZE)] == found.poincare[:, 1].tolist()
    assert [read.nodes[i]["distance"] for i in range(SIZE)] == found.distance.tolist()
    edges = sorted((h, graph.relations.index(data["relation"]), t) for h, t, data in read.edges(data=True))
    assert edges == sorted(tuple(triple) for triple in graph.train.tolist())


def test_wrong_files_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    found = embeddings(model_of("mure"))
    with pytest.raises(ValueError, match="npz, tsv, graphml"):
        save_embeddings(found, GRAPH, tmp_path / "e.xlsx")
    with pytest.raises(ValueError, match="25 entities"):
        save_embeddings(found, toy_graph(entities=tuple(map(str, range(25)))), tmp_path / "e.npz")
    assert not list(tmp_path.iterdir())
