"""The data sets known by name: one short entry each, no file opened and nothing heavy imported."""

from __future__ import annotations

from gsam.datasets.info import DatasetInfo, Sizes, Source

_SHCHUR = "Shchur et al., Pitfalls of Graph Neural Network Evaluation, 2018, arXiv:1811.05868"
_NOT_STATED = "not stated by the publisher (graphdml-uiuc-jlu/geom-gcn)"
_GEOM_GCN = "Pei et al., Geom-GCN: Geometric Graph Convolutional Networks, ICLR 2020"

_WORDNET = Source(
    licence="WordNet 3.0 licence (Princeton University)",
    citation="Miller, WordNet: a lexical database for English, Communications of the ACM 38(11), 1995",
    reader="wordnet",
)
_COAUTHOR = Source("MIT (shchur/gnn-benchmark)", _SHCHUR, "gnn_benchmark", "Coauthor")
_AMAZON = Source("MIT (shchur/gnn-benchmark)", _SHCHUR, "gnn_benchmark", "Amazon")
_CITATION_FULL = Source(
    licence="MIT (abojchevski/graph2gauss)",
    citation="Bojchevski and Guennemann, Deep Gaussian Embedding of Graphs, ICLR 2018, arXiv:1707.03815",
    reader="gnn_benchmark",
    pyg_class="CitationFull",
)
_PLANETOID = Source(
    licence="MIT (kimiyoung/planetoid)",
    citation="Yang et al., Revisiting Semi-Supervised Learning with Graph Embeddings, ICML 2016, arXiv:1603.08861",
    reader="planetoid",
    pyg_class="Planetoid",
)
_WEBKB = Source(_NOT_STATED, _GEOM_GCN, "webkb", "WebKB")
_ACTOR = Source(_NOT_STATED, _GEOM_GCN, "actor", "Actor")
_HETEROPHILOUS = Source(
    licence="MIT (yandex-research/heterophilous-graphs)",
    citation=(
        "Platonov et al., A critical look at the evaluation of GNNs under heterophily: "
        "Are we really making progress?, ICLR 2023, arXiv:2302.11640"
    ),
    reader="heterophilous",
    pyg_class="HeterophilousGraphDataset",
)


def _planetoid(name: str, title: str, pyg_name: str, sizes: Sizes) -> DatasetInfo:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    files = tuple(f"ind.{name}.{part}" for part in parts)
    return DatasetInfo(name, title, "nodes", sizes, _PLANETOID, f"Planetoid/{pyg_name}/raw", files, pyg_name)


def _geom_gcn_files(prefix: str) -> tuple[str, ...]:
    splits = (f"{prefix}_split_0.6_0.2_{i}.npz" for i in range(10))
    return ("out1_node_feature_label.txt", "out1_graph_edges.txt", *splits)


def _webkb(name: str, sizes: Sizes) -> DatasetInfo:
    title = f"web pages of {name.capitalize()} university and their links, 5 kinds of page, 10 splits"
    return DatasetInfo(name, title, "nodes", sizes, _WEBKB, f"WebKB/{name}/raw", _geom_gcn_files(name), name)


def _heterophilous(name: str, title: str, sizes: Sizes) -> DatasetInfo:
    folder = f"HeterophilousGraphDataset/{name}/raw"
    return DatasetInfo(name, title, "nodes", sizes, _HETEROPHILOUS, folder, (f"{name}.npz",), name)


def _filtered(animal: str, sizes: Sizes) -> DatasetInfo:
    title = f"Wikipedia pages on {animal}s without duplicate nodes, 5 levels of traffic, 10 splits"
    stem = f"{animal}_filtered"
    files = (f"{stem}.npz",)
    return DatasetInfo(
        f"{animal}-filtered", title, "nodes", sizes, _HETEROPHILOUS, "heterophilous-filtered", files, stem
    )


_ENTRIES = (
    DatasetInfo(
        name="wordnet",
        title="noun and verb synsets of WordNet 3.0 joined by all pointers, 41 lexicographer files as classes",
        task="few-shot",
        sizes=Sizes(95_882, 301_138, 20_219, 41),
        source=_WORDNET,
        folder="wordnet",
        files=("wordnet.npz",),
    ),
    DatasetInfo(
        name="coauthor-cs",
        title="authors who wrote a paper together, 15 fields of computer science",
        task="few-shot",
        sizes=Sizes(18_333, 163_788, 6_805, 15),
        source=_COAUTHOR,
        folder="Coauthor/CS/raw",
        files=("ms_academic_cs.npz",),
        pyg_name="CS",
    ),
    DatasetInfo(
        name="coauthor-physics",
        title="authors who wrote a paper together, 5 fields of physics",
        task="nodes",
        sizes=Sizes(34_493, 495_924, 8_415, 5),
        source=_COAUTHOR,
        folder="Coauthor/Physics/raw",
        files=("ms_academic_phy.npz",),
        pyg_name="Physics",
    ),
    DatasetInfo(
        name="amazon-computers",
        title="goods often bought together, 10 kinds of computer goods",
        task="few-shot",
        sizes=Sizes(13_752, 491_722, 767, 10),
        source=_AMAZON,
        folder="Amazon/Computers/raw",
        files=("amazon_electronics_computers.npz",),
        pyg_name="computers",
    ),
    DatasetInfo(
        name="amazon-photo",
        title="goods often bought together, 8 kinds of photo goods",
        task="nodes",
        sizes=Sizes(7_650, 238_162, 745, 8),
        source=_AMAZON,
        folder="Amazon/Photo/raw",
        files=("amazon_electronics_photo.npz",),
        pyg_name="photo",
    ),
    DatasetInfo(
        name="corafull",
        title="papers that cite each other, 70 topics",
        task="few-shot",
        sizes=Sizes(19_793, 126_842, 8_710, 70),
        source=_CITATION_FULL,
        folder="CitationFull/cora/raw",
        files=("cora.npz",),
        pyg_name="cora",
    ),
    _planetoid("cora", "papers that cite each other, 7 topics", "Cora", Sizes(2_708, 10_556, 1_433, 7)),
    _planetoid("citeseer", "papers that cite each other, 6 topics", "CiteSeer", Sizes(3_327, 9_104, 3_703, 6)),
    _planetoid("pubmed", "diabetes papers that cite each other, 3 kinds", "PubMed", Sizes(19_717, 88_648, 500, 3)),
    DatasetInfo(
        name="actor",
        title="actors named on the same Wikipedia page, 5 groups of page words, 10 splits",
        task="nodes",
        sizes=Sizes(7_600, 30_019, 932, 5),
        source=_ACTOR,
        folder="Actor/raw",
        files=_geom_gcn_files("film"),
    ),
    _webkb("texas", Sizes(183, 325, 1_703, 5)),
    _webkb("wisconsin", Sizes(251, 515, 1_703, 5)),
    _webkb("cornell", Sizes(183, 298, 1_703, 5)),
    _heterophilous("minesweeper", "cells of a grid, mine or not, 10 splits", Sizes(10_000, 78_804, 7, 2)),
    _heterophilous("tolokers", "workers who shared a task, banned or not, 10 splits", Sizes(11_758, 1_038_000, 10, 2)),
    _filtered("chameleon", Sizes(890, 17_708, 2_325, 5)),
    _filtered("squirrel", Sizes(2_223, 93_996, 2_089, 5)),
)

CATALOGUE: dict[str, DatasetInfo] = {entry.name: entry for entry in _ENTRIES}
