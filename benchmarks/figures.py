"""Write the measured figures into README.md and docs/honest_numbers.md, from the files in results/ alone.

``python benchmarks/figures.py`` replaces what stands between the markers; a test fails if they are out of date. The
README has a selection, the page on numbers has all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from figure_files import ROOT, Lines, Result, result, signed, source, table
from figures_fewshot import optimizers, preset, preset_accuracies
from figures_kg import knowledge_graphs, knowledge_graphs_summary
from figures_training import training

from gsam.report import with_interval

README, NUMBERS = ROOT / "README.md", ROOT / "docs" / "honest_numbers.md"
MARKS = re.compile(r"(<!-- figures: begin[^>]*-->\n).*?(<!-- figures: end -->)", re.DOTALL)

# -- time -------------------------------------------------------------------------------------------------------------

OVER_ADAM = ("sam", "fgsam", "fgsam+", "fgsam+ k=2", "peer-mlp")


def method_figures(found: Result) -> dict[str, Result]:
    """The figures of each method in the file on methods."""
    return {name: row for name, row in found.items() if isinstance(row, dict) and "times_faster_than_plain" in row}


def times() -> Lines:
    """The README's selection: against plain full-graph versions, over Adam, with the size of the graph."""
    one, methods = result("episodes_1_threads"), method_figures(result("methods_1_threads"))
    faster = {f"GPN, {name}": value for name, value in one["times_faster_than_plain"].items()}
    faster |= {f"{name}, adam": row["times_faster_than_plain"] for name, row in methods.items()}
    ratios = {"Coauthor-CS": one["ratio_to_adam"], "WordNet": one["ratio_to_adam_on_wordnet"]}
    return [
        "**A training step** on Coauthor-CS, 5-way 3-shot, times faster than the same losses written with plain "
        "PyTorch Geometric on the full graph:",
        "",
        *table(list(faster), [[f"{value:.0f}" for value in faster.values()]]),
        "",
        "Time of a GPN step over Adam's:",
        "",
        *table(["", *OVER_ADAM], [[data, *(f"{row[n]:.2f}" for n in OVER_ADAM)] for data, row in ratios.items()]),
        "",
        growth(),
        "",
        *(source(name) for name in ("episodes_1_threads", "methods_1_threads", "scaling")),
        "",
    ]


def growth() -> str:
    """How the cost of an episode grows with the graph."""
    ratio = result("scaling")["growth_from_1e4_to_1e6"]
    return f"An episode costs {ratio:.2f} times as much on a random graph of 10^6 nodes as on one of 10^4."


def speed() -> Lines:
    """Time and memory of training episodes, with one and two threads."""
    both = [result(f"episodes_{count}_threads") for count in (1, 2)]
    rows = [
        [f"{name} step, times faster than plain full-graph PyG with the same losses"]
        + [f"{found['times_faster_than_plain'][name]:.0f}" for found in both]
        for name in ("adam", "sam")
    ]
    for suffix, key in (("", "ratio_to_adam"), (", on WordNet", "ratio_to_adam_on_wordnet")):
        rows += [[f"{name} over adam{suffix}", *(f"{found[key][name]:.2f}" for found in both)] for name in OVER_ADAM]
    rows.append(["peak memory of the process, GiB", *(f"{found['peak_training_memory_gib']:.2f}" for found in both)])
    return [
        "**Time of GPN training on Coauthor-CS**, 5-way 3-shot, as ratios within one run:",
        "",
        *table(["", "1 thread (the command's default)", "2 threads"], rows),
        "",
        *(source(f"episodes_{count}_threads") for count in (1, 2)),
        "",
    ]


def method_times() -> Lines:
    """The other methods against their plain versions."""
    header = ["method, adam", "s / 200 episodes", "plain version", "ratio", "largest relative difference of the losses"]
    rows = []
    for name, row in method_figures(result("methods_1_threads")).items():
        seconds = [row["seconds_per_200_episodes"], row["plain_seconds_per_200_episodes"]]
        gap = f"{row['largest_relative_loss_gap']:.0e}"
        rows.append([name, *(f"{s:.3g}" for s in seconds), f"{row['times_faster_than_plain']:.0f}", gap])
    return [
        "**The other methods against plain full-graph versions** on Coauthor-CS, 5-way 3-shot:",
        "",
        *table(header, rows),
        "",
        source("methods_1_threads"),
        "",
    ]


def costs() -> Lines:
    """Growth with the graph, the wrapper's overhead, and a bench that was killed."""
    ratio, kill = result("optimizer_overhead_1_threads")["ratio_to_base"], result("bench_kill")
    equal = [name for name, same in kill["identical"].items() if same]
    return [
        growth(),
        "",
        source("scaling"),
        "",
        f"**The wrapper** around Adam on a 2-layer GCN costs {ratio['rho=0']:.2f} times the plain step at `rho = 0`, "
        f"and a SAM step {ratio['sam']:.2f} times.",
        "",
        source("optimizer_overhead_1_threads"),
        "",
        f"**A bench of {kill['cells']} cells**, killed at {len(kill['units_finished_at_kills'])} random moments and "
        f"resumed: {len(equal)} of its {len(kill['identical'])} tables equal those of an undisturbed one byte for byte "
        f"({', '.join(equal)}).",
        "",
        source("bench_kill"),
        "",
    ]


# -- ordinary node classification -------------------------------------------------------------------------------------


def heterophilic_rows(results: Mapping[str, Result]) -> list[list[str]]:
    """For each graph the score of every optimizer with its difference to Adam, and that of the features alone."""
    rows = []
    for name, found in results.items():
        cells = []
        for optimizer, row in found["optimizers"].items():
            score = with_interval(row["test_mean"], row["test_ci95"])
            cells.append(score if optimizer == "adam" else f"{score} ({signed(row['paired_difference_to_adam'])})")
        alone = found["features_only"]
        rows.append([name, found["metric"], *cells, with_interval(alone["test_mean"], alone["test_ci95"])])
    return rows


def heterophilic() -> Lines:
    """The whole table."""
    found = result("heterophilic_sage")
    first = next(iter(found["results"].values()))
    splits = len(first["optimizers"]["adam"]["test"])
    header = ["data", "score", *first["optimizers"], "features only"]
    return [
        f"**Ordinary node classification on heterophilic graphs** (`{found['model']}`), {splits} published splits, "
        "learning rate and radius chosen on validation nodes; in parentheses the paired difference to Adam, all with "
        "95 % intervals over splits:",
        "",
        *table(header, heterophilic_rows(found["results"])),
        "",
        source("heterophilic_sage"),
        "",
    ]


def clear_differences(results: Mapping[str, Result], optimizer: str) -> tuple[int, int]:
    """On how many graphs the difference to Adam lies above, and below, 0 by more than its interval."""
    found = [row["optimizers"][optimizer]["paired_difference_to_adam"] for row in results.values()]
    return sum(mean > half for mean, half in found), sum(mean < -half for mean, half in found)


def features_win(results: Mapping[str, Result]) -> int:
    """On how many graphs the features alone have the highest mean."""
    return sum(
        row["features_only"]["test_mean"] > max(o["test_mean"] for o in row["optimizers"].values())
        for row in results.values()
    )


def heterophilic_summary() -> Lines:
    """Two lines for the README."""
    found = result("heterophilic_sage")
    results = found["results"]
    others = [name for name in next(iter(results.values()))["optimizers"] if name != "adam"]
    counts = {name: clear_differences(results, name) for name in others}
    text = ", ".join(f"{name} above on {up} and below on {down}" for name, (up, down) in counts.items())
    return [
        f"**Ordinary node classification** on {len(results)} heterophilic graphs (`{found['model']}`, published "
        f"splits), against Adam by more than the 95 % interval of the paired difference: {text}.",
        f"Logistic regression on the features alone has the highest mean on {features_win(results)} of the "
        f"{len(results)}.",
        "",
        source("heterophilic_sage"),
        "",
    ]


# -- pages ------------------------------------------------------------------------------------------------------------

PAGES: Mapping[Path, tuple[Callable[[], Lines], ...]] = {
    README: (preset, optimizers, times, heterophilic_summary, knowledge_graphs_summary, training),
    NUMBERS: (
        preset,
        preset_accuracies,
        optimizers,
        speed,
        method_times,
        costs,
        heterophilic,
        knowledge_graphs,
        training,
    ),
}


def section(page: Path) -> str:
    """What stands between the markers of a page."""
    return "\n".join(["", *(line for block in PAGES[page] for line in block())])


def filled(page: Path) -> str:
    """The text of a page with its section brought up to date."""
    return MARKS.sub(lambda marks: marks[1] + section(page) + marks[2], page.read_text())


def main() -> None:
    """Bring the pages up to date."""
    for page, text in {page: filled(page) for page in PAGES}.items():
        page.write_text(text)


if __name__ == "__main__":
    main()
