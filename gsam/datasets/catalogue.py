"""The data sets known by name: one short entry each, no file opened and nothing heavy imported."""

from __future__ import annotations

from gsam.datasets.catalogue_kg import KNOWLEDGE_GRAPHS
from gsam.datasets.info import Archive, DatasetInfo, Sizes, Source

_SHCHUR = "Shchur et al., Pitfalls of Graph Neural Network Evaluation, 2018, arXiv:1811.05868"
_NOT_STATED = "not stated by the publisher (graphdml-uiuc-jlu/geom-gcn)"
_GEOM_GCN = "Pei et al., Geom-GCN: Geometric Graph Convolutional Networks, ICLR 2020"

_WORDNET = Source(
    licence="WordNet 3.0 licence (Princeton University)",
    citation="Miller, WordNet: a lexical database for English, Communications of the ACM 38(11), 1995",
    reader="wordnet",
    bundled=True,
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
_OGB_CITATION = "Hu et al., Open Graph Benchmark, NeurIPS 2020, arXiv:2005.00687"
_GPN = Source(
    licence="not stated by the publisher (kaize0409/GPN_Graph-Few-shot)",
    citation=(
        "Ding et al., Graph Prototypical Networks for Few-shot Learning on Attributed Networks, "
        "CIKM 2020, arXiv:2006.12739"
    ),
    reader="gpn",
    home="the folder few_shot_data of github.com/kaize0409/GPN_Graph-Few-shot",
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


def _ogb_files(split: str) -> tuple[str, ...]:
    tables = ("edge", "node-feat", "node-label", "num-node-list", "num-edge-list")
    parts = ("train", "valid", "test")
    return (*(f"raw/{table}.csv.gz" for table in tables), *(f"split/{split}/{part}.csv.gz" for part in parts))


def _gpn(name: str, title: str, sizes: Sizes, *prefixes: str) -> DatasetInfo:
    names = [tuple(prefix + part for part in ("_network", "_train.mat", "_test.mat")) for prefix in prefixes]
    note = "as published with GPN, each edge counted in both directions"
    return DatasetInfo(
        name, title, "few-shot", sizes, _GPN, "few_shot_data", names[0], other_files=tuple(names[1:]), note=note
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
    DatasetInfo(
        name="ogbn-arxiv",
        title="computer science papers of arXiv that cite each other, 40 subject areas, split by year",
        task="few-shot",
        sizes=Sizes(169_343, 2_315_598, 128, 40),
        source=Source("ODC-BY", _OGB_CITATION, "ogb"),
        folder="ogbn_arxiv",
        files=_ogb_files("time"),
        archive=Archive(
            "https://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip",
            "arxiv",
            "49f85c801589ecdcc52cfaca99693aaea7b8af16a9ac3f41dd85a5f3193fe276",
        ),
        optional_files=("mapping/labelidx2arxivcategeory.csv.gz",),
        note="as published: 1,166,243 directed citations in the file, made undirected",
    ),
    DatasetInfo(
        name="ogbn-products",
        title="goods often bought together, 47 categories, split by sales rank",
        task="nodes",
        sizes=Sizes(2_449_029, 123_718_280, 100, 47),
        source=Source("Amazon licence, as OGB states it", _OGB_CITATION, "ogb"),
        folder="ogbn_products",
        files=_ogb_files("sales_ranking"),
        archive=Archive("https://snap.stanford.edu/ogb/data/nodeproppred/products.zip", "products"),
        optional_files=("mapping/labelidx2productcategory.csv.gz",),
        note="twice the 61,859,140 edges published; the number without duplicates is not known",
    ),
    _gpn(
        "amazon-clothing",
        "clothes, shoes and jewelry often viewed together, 77 categories",
        Sizes(24_919, 183_360, 9_034, 77),
        "Amazon_clothing",
        "amazon-clothing",
    ),
    _gpn(
        "amazon-electronics",
        "electronic goods often bought together, 167 categories",
        Sizes(42_318, 87_112, 8_669, 167),
        "Amazon_eletronics",  # so spelt in GPN's repository
        "amazon-electronics",
    ),
    _gpn("dblp", "papers that cite each other, 137 venues", Sizes(40_672, 576_540, 7_202, 137), "dblp"),
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

CATALOGUE: dict[str, DatasetInfo] = {entry.name: entry for entry in (*_ENTRIES, *KNOWLEDGE_GRAPHS)}
