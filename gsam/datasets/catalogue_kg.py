"""The knowledge graphs known by name: one short entry each, no file opened and nothing heavy imported."""

from __future__ import annotations

from gsam.datasets.info import Archive, DatasetInfo, Source, TripleSizes

_FILES = ("train.txt", "valid.txt", "test.txt")
_CONVE = "Dettmers et al., Convolutional 2D Knowledge Graph Embeddings, AAAI 2018, arXiv:1707.01476"
_CONVE_HOME = "github.com/TimDettmers/ConvE"
_NOT_STATED = f"not stated by the publisher ({_CONVE_HOME})"
_KEMP = "Kemp et al., Learning systems of concepts with an infinite relational model, AAAI 2006"
_OGB_CITATION = "Hu et al., Open Graph Benchmark, NeurIPS 2020, arXiv:2005.00687"
_OGB_ADDRESS = "https://snap.stanford.edu/ogb/data/linkproppred"

_WN18RR = Source(
    "WordNet 3.0 licence (Princeton University)", _CONVE, "triples_folder", "WordNet18RR", home=_CONVE_HOME
)
_FB15K_237 = Source(
    licence="CC BY 2.5 (Freebase)",
    citation=(
        "Toutanova and Chen, Observed versus latent features for knowledge base and text inference, CVSC 2015; "
        + _CONVE
    ),
    reader="triples_folder",
    pyg_class="FB15k_237",
    home=_CONVE_HOME,
)


def _small(name: str, title: str, sizes: TripleSizes, folder: str, citation: str) -> DatasetInfo:
    """Return the entry of a set that has no address of its own: ConvE's repository has it as ``.tar.gz``."""
    home = f"{folder.lower()}.tar.gz of {_CONVE_HOME}"
    source = Source(_NOT_STATED, citation, "triples_folder", home=home)
    return DatasetInfo(name, title, "kg", sizes, source, f"{folder}/raw", _FILES)


def _ogb(name: str, title: str, sizes: TripleSizes, reader: str, split: str, archive: str) -> DatasetInfo:
    raw = {"ogb_typed_kg": ("raw/num-node-dict.csv.gz",), "ogb_kg": ("raw/num-node-list.csv.gz",)}[reader]
    mappings = {
        "ogb_typed_kg": (
            *(f"{kind}_entidx2name" for kind in ("disease", "drug", "function", "protein", "sideeffect")),
            "relidx2relname",
        ),
        "ogb_kg": ("nodeidx2entityid", "reltype2relid"),
    }[reader]
    return DatasetInfo(
        name,
        title,
        "kg",
        sizes,
        Source("CC0", _OGB_CITATION, reader),
        name.replace("-", "_"),
        (*raw, *(f"split/{split}/{part}.pt" for part in ("train", "valid", "test"))),
        archive=Archive(f"{_OGB_ADDRESS}/{archive}.zip", archive),
        optional_files=tuple(f"mapping/{table}.csv.gz" for table in mappings),
        note="as published; ranked against the official negatives",
    )


_WORDNET = Source(
    licence="WordNet 3.0 licence (Princeton University)",
    citation="Miller, WordNet: a lexical database for English, Communications of the ACM 38(11), 1995",
    reader="wordnet_kg",
    bundled=True,
)

KNOWLEDGE_GRAPHS = (
    DatasetInfo(
        name="wordnet-mammals",
        title="all hypernyms, direct and indirect, of the mammals of WordNet 3.0",
        task="kg",
        sizes=TripleSizes(1_170, 1, 5_392, 528, 528),
        source=_WORDNET,
        folder="wordnet-mammals",
        files=("wordnet-mammals.npz",),
    ),
    DatasetInfo(
        name="wordnet-nouns",
        title="noun synsets of WordNet 3.0, 10 relations without their inverses",
        task="kg",
        sizes=TripleSizes(82_115, 10, 105_877, 5_952, 5_938),
        source=_WORDNET,
        folder="wordnet-nouns",
        files=("wordnet-nouns.npz",),
    ),
    DatasetInfo(
        name="wn18rr",
        title="synsets of WordNet, 11 relations without their inverses",
        task="kg",
        sizes=TripleSizes(40_943, 11, 86_835, 3_034, 3_134),
        source=_WN18RR,
        folder="WN18RR/raw",
        files=_FILES,
    ),
    DatasetInfo(
        name="fb15k-237",
        title="facts of Freebase, 237 relations without near-duplicates and inverses",
        task="kg",
        sizes=TripleSizes(14_541, 237, 272_115, 17_535, 20_466),
        source=_FB15K_237,
        folder="FB15k-237/raw",
        files=_FILES,
    ),
    _small(
        "umls",
        "semantic network of the Unified Medical Language System",
        TripleSizes(135, 46, 5_216, 652, 661),
        "UMLS",
        f"McCray, An upper-level ontology for the biomedical domain, 2003; {_KEMP}; {_CONVE}",
    ),
    _small(
        "kinship",
        "kinship terms among the members of a tribe of central Australia, the Alyawarra",
        TripleSizes(104, 25, 8_544, 1_068, 1_074),
        "Kinship",
        f"Denham, The detection of patterns in Alyawarra nonverbal behavior, 1973; {_KEMP}; {_CONVE}",
    ),
    _small(
        "nations",
        "political relations of 14 countries, 1950 to 1965",
        TripleSizes(14, 55, 1_592, 199, 201),
        "Nations",
        f"Rummel, Dimensionality of nations project, 1999; {_KEMP}; {_CONVE}",
    ),
    _ogb(
        "ogbl-biokg",
        "diseases, drugs, proteins, side effects and protein functions, random split",
        TripleSizes(93_773, 51, 4_762_678, 162_886, 162_870),
        "ogb_typed_kg",
        "random",
        "biokg",
    ),
    _ogb(
        "ogbl-wikikg2",
        "facts of Wikidata, split by time",
        TripleSizes(2_500_604, 535, 16_109_182, 429_456, 598_543),
        "ogb_kg",
        "time",
        "wikikg-v2",
    ),
)
