"""Write the measured figures into README.md and docs/honest_numbers.md, from the files in results/ alone.

``python benchmarks/figures.py`` replaces what stands between the markers; a test fails if they are out of date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "honest_numbers.md")
MARKS = re.compile(r"(<!-- figures: begin[^>]*-->\n).*?(<!-- figures: end -->)", re.DOTALL)


def result(name: str) -> dict[str, Any]:
    """A file of results/."""
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    return found


def source(name: str) -> str:
    """Where a figure is from: file, command, machine."""
    found = result(name)
    machine = found["environment"]
    threads = f"{machine['threads']} thread" + ("s" if machine["threads"] > 1 else "")
    processor = machine["device"].removeprefix("cpu: ")
    return (
        f"`benchmarks/results/{name}.json`, `{found['command']}`: {processor}, {threads}, torch {machine['torch']}, "
        f"commit {machine['commit']}, {found['date']}"
    )


def speed() -> list[str]:
    """Time and memory of training episodes."""
    one, two = result("episodes_1_threads"), result("episodes_2_threads")
    names = ("sam", "fgsam", "fgsam+", "fgsam+ k=2", "peer-mlp")
    lines = [
        "**Time of GPN training on Coauthor-CS**, 5-way 3-shot, as ratios within one run:",
        "",
        "| | 1 thread (the command's default) | 2 threads |",
        "| --- | --- | --- |",
        *(
            f"| {name} step, times faster than plain full-graph PyG with the same losses | "
            f"{one['times_faster_than_plain'][name]:.0f} | {two['times_faster_than_plain'][name]:.0f} |"
            for name in ("adam", "sam")
        ),
        *(f"| {n} over adam | {one['ratio_to_adam'][n]:.2f} | {two['ratio_to_adam'][n]:.2f} |" for n in names),
        *(
            f"| {n} over adam, on WordNet | {one['ratio_to_adam_on_wordnet'][n]:.2f} | "
            f"{two['ratio_to_adam_on_wordnet'][n]:.2f} |"
            for n in names
        ),
        f"| peak memory of the process, GiB | {one['peak_training_memory_gib']:.2f} | "
        f"{two['peak_training_memory_gib']:.2f} |",
    ]
    return [*lines, "", *(f"- {source(f'episodes_{count}_threads')}" for count in (1, 2)), ""]


def costs() -> list[str]:
    """Growth with the graph, and the wrapper's overhead."""
    growth, wrapper = result("scaling"), result("optimizer_overhead_1_threads")
    ratio = wrapper["ratio_to_base"]
    return [
        f"**An episode costs** {growth['growth_from_1e4_to_1e6']:.2f} times as much on a random graph of 10^6 nodes as "
        "on one of 10^4 (mean degree 10).",
        "",
        f"- {source('scaling')}",
        "",
        f"**The wrapper** around Adam on a 2-layer GCN costs {ratio['rho=0']:.2f} times the plain step at `rho = 0`, "
        f"and a SAM step {ratio['sam']:.2f} times.",
        "",
        f"- {source('optimizer_overhead_1_threads')}",
        "",
    ]


def accuracy(name: str, title: str) -> list[str]:
    """The comparison of all optimizers on one data set; its times come from a shared machine and are left out."""
    found = result(f"accuracy_{name}")
    seeds = len(found["results"][0]["per_seed"])
    rows = [[cell.strip() for cell in line.strip("|").split("|")][1:4] for line in found["table"]]
    rows[2:] = [[row[0] if row[0] != "(not trained)" else whole, *row[1:]] for row, whole in _named(found, rows)]
    return [
        f"**Accuracy of GPN, published recipe (FGSAM+ with k = 5 instead of 2), on {title}**, 5-way 3-shot, "
        f"{seeds} seeds, 95 % intervals over seeds:",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        f"- {source(f'accuracy_{name}')}",
        "",
    ]


def _named(found: dict[str, Any], rows: list[list[str]]) -> list[tuple[list[str], str]]:
    first = [line.strip("|").split("|")[0].strip() for line in found["table"]]
    return [(row, f"{name} (trains nothing)") for row, name in zip(rows[2:], first[2:], strict=True)]


def section() -> str:
    """What stands between the markers."""
    lines = [
        *speed(),
        *costs(),
        *accuracy("coauthor-cs", "Coauthor-CS (random 5/5/5 class splits)"),
        *accuracy("wordnet", "WordNet (published 15/10/16 class split)"),
    ]
    return "\n".join(["", *lines])


def filled(text: str) -> str:
    """A page with its section brought up to date."""
    return MARKS.sub(lambda marks: marks[1] + section() + marks[2], text)


def main() -> None:
    """Bring the pages up to date."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
