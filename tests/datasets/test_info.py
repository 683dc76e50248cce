from gsam.datasets import Sizes, TripleSizes, list_datasets


def test_bundled_means_that_nothing_is_downloaded() -> None:
    bundled = [entry.name for entry in list_datasets() if entry.bundled]
    assert bundled == ["wordnet", "wordnet-mammals", "wordnet-nouns"]
    assert not any(entry.downloadable for entry in list_datasets() if entry.bundled)


def test_what_cannot_be_downloaded_says_where_it_is() -> None:
    by_hand = [entry for entry in list_datasets() if not entry.bundled and not entry.downloadable]
    assert [entry.name for entry in by_hand] == [
        *("amazon-clothing", "amazon-electronics", "dblp"),
        *("umls", "kinship", "nations"),
    ]
    assert all(entry.source.home for entry in by_hand)


def test_every_entry_says_where_its_files_are() -> None:
    for entry in list_datasets():
        assert entry.files
        assert entry.task in ("few-shot", "nodes", "kg")
        assert entry.is_knowledge_graph == isinstance(entry.sizes, TripleSizes) == (entry.task == "kg")
        assert entry.source.licence
        assert entry.bundled or not entry.folder.startswith("/")
        assert min(entry.sizes) > 0


def test_sizes_in_words() -> None:
    assert Sizes(1_000, 2, 3, 4).text == "1,000 nodes, 2 directed edges, 3 features, 4 classes"
    assert TripleSizes(1_000, 1, 20, 3, 4).text == (
        "1,000 entities, 1 relation, 20 training, 3 validation and 4 test triples"
    )
