"""A second implementation of the triple readers, line by line, for the tests."""

from __future__ import annotations

from pathlib import Path

Triple = tuple[str, ...]


def naive_lines(path: Path) -> list[Triple]:
    """Read a tab-separated file without blank lines, duplicates included."""
    with path.open(encoding="utf-8", newline=None) as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file]


def naive_numbers(splits: dict[str, list[Triple]]) -> tuple[dict[str, list[list[int]]], list[str], list[str]]:
    """Number names by first appearance; drop what stands twice in a split."""
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    numbered: dict[str, list[list[int]]] = {}
    for split, triples in splits.items():
        seen: set[Triple] = set()
        numbered[split] = []
        for triple in triples:
            head, relation, tail = triple
            h = entities.setdefault(head, len(entities))
            t = entities.setdefault(tail, len(entities))
            r = relations.setdefault(relation, len(relations))
            if triple not in seen:
                numbered[split].append([h, r, t])
            seen.add(triple)
    return numbered, list(entities), list(relations)
