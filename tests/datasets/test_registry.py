from __future__ import annotations

import pytest

from gsam.datasets import DatasetError, info, list_datasets


@pytest.mark.parametrize("spelling", ["coauthor-cs", "Coauthor-CS", "coauthor_cs", " Coauthor CS "])
def test_spelling_does_not_matter(spelling: str) -> None:
    assert info(spelling).name == "coauthor-cs"


def test_unknown_name_lists_close_matches_and_all_names() -> None:
    with pytest.raises(DatasetError) as raised:
        info("wordnt")
    message = str(raised.value)
    assert "did you mean wordnet or wordnet-nouns?" in message
    assert all(entry.name in message for entry in list_datasets())
    assert "\n" not in message


def test_nothing_close_suggests_nothing() -> None:
    with pytest.raises(DatasetError, match=r"unknown data set 'zzzz'\. Known names"):
        info("zzzz")
