"""Names of the catalogue as types: with them ``load("wn18rr")`` is known to give a knowledge graph."""

from __future__ import annotations

from typing import Literal

NodeSetName = Literal[
    "wordnet",
    "coauthor-cs",
    "coauthor-physics",
    "amazon-computers",
    "amazon-photo",
    "corafull",
    "ogbn-arxiv",
    "ogbn-products",
    "amazon-clothing",
    "amazon-electronics",
    "dblp",
    "cora",
    "citeseer",
    "pubmed",
    "actor",
    "texas",
    "wisconsin",
    "cornell",
    "minesweeper",
    "tolokers",
    "chameleon-filtered",
    "squirrel-filtered",
]
KnowledgeGraphName = Literal[
    "wordnet-mammals",
    "wordnet-nouns",
    "wn18rr",
    "fb15k-237",
    "umls",
    "kinship",
    "nations",
    "ogbl-biokg",
    "ogbl-wikikg2",
]
