from __future__ import annotations

from pathlib import Path

import pytest

from gsam.datasets import DatasetError
from gsam.datasets.wordnet.source import (
    NOUN_FILES,
    check_sources,
    parse_senses,
    parse_synset,
    read_senses,
    read_synsets,
    source_hashes,
)

NOUN = "02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 02083346 n 0000 ~ 01322604 n 0000 | a member of"
VERB = (
    "00001740 29 v 02 breathe 0 respire 1 003 * 00005041 v 0000 + 00831191 n 0103 + 4017 a 0101 02 + 02 00 + 8 0 | air"
)
TEN_WORDS = "00000001 03 n 0a a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 000 | ten, in hexadecimal"


def test_noun_line() -> None:
    synset = parse_synset(NOUN)
    assert synset.pos == "n"
    assert synset.offset == "02084071"
    assert synset.lexfile == 5
    assert synset.lemmas == ("dog", "domestic_dog", "Canis_familiaris")
    assert synset.pointers == (("n", "02083346"), ("n", "01322604"))
    assert synset.symbols == ("@", "~")
    assert synset.gloss == "a member of"


def test_verb_line_skips_sentence_frames() -> None:
    synset = parse_synset(VERB)
    assert synset.lemmas == ("breathe", "respire")
    assert synset.pointers == (("v", "00005041"), ("n", "00831191"), ("a", "4017"))
    assert synset.symbols == ("*", "+", "+")
    assert synset.gloss == "air"


def test_word_count_is_hexadecimal() -> None:
    assert parse_synset(TEN_WORDS).lemmas == tuple("abcdefghij")


@pytest.mark.parametrize("line", ["", "no bar at all", NOUN.replace("002 @", "009 @"), "1 2 n | short"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="synset line"):
        parse_synset(line)


def test_sense_line() -> None:
    line = "dog n 3 4 @ ~ #m %p 3 1 02084071 10114209 10023039"
    assert parse_senses(line) == ("dog", ("02084071", "10114209", "10023039"))


def write_sources(folder: Path) -> None:
    licence = "  1 This software and database is being provided | to you\n"
    (folder / "data.noun").write_text(licence + NOUN + "\n")
    (folder / "data.verb").write_text(licence + VERB + "\n")
    (folder / "index.noun").write_text(licence + "dog n 2 1 @ 2 1 00000009 02084071\n")
    (folder / "index.verb").write_text(licence + "breathe v 1 0 1 1 00001740\n")


def test_folder(tmp_path: Path) -> None:
    write_sources(tmp_path)
    check_sources(tmp_path)
    assert [synset.lemmas[0] for synset in read_synsets(tmp_path)] == ["dog", "breathe"]
    senses = read_senses(tmp_path)
    assert senses["n", "dog", "02084071"] == 2
    assert senses["v", "breathe", "00001740"] == 1
    assert set(source_hashes(tmp_path)) == {"data.noun", "data.verb", "index.noun", "index.verb"}
    assert [synset.lemmas[0] for synset in read_synsets(tmp_path, "n")] == ["dog"]
    assert set(read_senses(tmp_path, "n")) == {("n", "dog", "00000009"), ("n", "dog", "02084071")}


def test_missing_sources_name_the_package(tmp_path: Path) -> None:
    write_sources(tmp_path)
    (tmp_path / "data.verb").unlink()
    with pytest.raises(DatasetError, match=r"missing data\.verb of WordNet 3\.0; .*wordnet-base.*--dict"):
        check_sources(tmp_path)
    check_sources(tmp_path, NOUN_FILES)
