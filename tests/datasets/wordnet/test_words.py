from __future__ import annotations

from gsam.datasets.wordnet.source import Synset
from gsam.datasets.wordnet.words import vocabulary, words_of


def synset(gloss: str, *lemmas: str) -> Synset:
    return Synset("n", "1", 5, lemmas, (), gloss)


def test_words_are_distinct_lower_case_runs_of_letters() -> None:
    found = words_of(synset('a Dog-like dog of 1999; "the dog\'s x-ray"', "domestic_dog", "Canis"))
    assert found == {"dog", "like", "ray", "domestic", "canis"}


def test_neither_class_nor_part_of_speech_is_a_word() -> None:
    noun = synset("plain", "plain")
    verb = noun._replace(pos="v", lexfile=30, offset="2", pointers=(("n", "1"),))
    assert words_of(noun) == words_of(verb) == {"plain"}


def test_vocabulary_counts_bags_not_occurrences() -> None:
    bags = [frozenset("ab"), frozenset("bc"), frozenset("b")]
    assert vocabulary(bags, 1) == ("a", "b", "c")
    assert vocabulary(bags, 2) == ("b",)
