"""The figures on knowledge graphs, as Markdown: a block for each kind of file that is in results/, none for others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import figure_files
from figure_files import Lines, Result, result, signed, source, table

from gsam.fewshot import mean_ci95

METRICS = ("mrr", "hits@1", "hits@3", "hits@10")
#: key of a file on accuracy, name of the protocol
PROTOCOLS: Mapping[str, str] = {"test": "standard", "test_hybonet": "hybonet"}
#: model, dimension, data, figures as printed ("" where not given), whose table, the candidates of its code
PUBLISHED: Sequence[tuple[str, int, str, tuple[str, str, str, str], str, str]] = (
    ("MuRP", 40, "wn18rr", (".477", ".438", ".489", ".555"), "Balazevic et al., 2019", "given entity dropped"),
    ("MuRE", 40, "wn18rr", (".459", ".429", ".474", ".528"), "Balazevic et al., 2019", "given entity dropped"),
    ("RotH", 32, "wn18rr", (".473", "", "", ".551"), "Chami et al., 2020", "all"),
    ("RotE", 32, "wn18rr", (".455", "", "", ".527"), "Chami et al., 2020", "all"),
    ("ComplEx-N3", 32, "wn18rr", (".407", "", "", ".449"), "Chami et al., 2020", "all"),
    ("MuRP", 40, "fb15k-237", (".324", ".235", ".356", ".506"), "Balazevic et al., 2019", "given entity dropped"),
    ("MuRE", 40, "fb15k-237", (".315", ".227", ".346", ".493"), "Balazevic et al., 2019", "given entity dropped"),
    ("RotH", 32, "fb15k-237", (".314", ".223", ".344", ".496"), "Chami et al., 2020", "all"),
)
#: an optimizer that Lorentz SAM is compared with, and at equal what
RIVALS = tuple((name, budget) for budget in ("epochs", "time") for name in ("radam", "rsgd"))


def present(pattern: str) -> list[str]:
    """Names of the files in results/ that match, in order."""
    return sorted(path.stem for path in figure_files.RESULTS.glob(f"{pattern}.json"))


# -- accuracy ---------------------------------------------------------------------------------------------------------


def three(value: float) -> str:
    """``.477``, as such figures are printed."""
    text = f"{value:.3f}"
    return text.removeprefix("0") if value < 1 else text


def accuracy_rows(found: Result) -> list[list[str]]:
    """One line for each protocol, and for each way to score a triple."""
    settings = found["hyperparameters"]
    label = [found["dataset"], found["model"], str(settings["dim"]), found["optimizer"], str(found["seed"])]
    by = settings.get("score_by", "asked")
    rows = [[*label, name, by, *_three_of(found[key]["both"])] for key, name in PROTOCOLS.items()]
    asked = found.get("test_scored_as_asked", {})
    return rows + [[*label, name, "asked", *_three_of(asked[name])] for name in PROTOCOLS.values() if name in asked]


def _three_of(figures: Mapping[str, float]) -> list[str]:
    return [three(figures[metric]) for metric in METRICS]


def category_rows(found: Result) -> list[list[str]]:
    """MRR and Hits@10 by category of relation."""
    rows = []
    for name, figures in found["test_per_category"].items():
        both = figures["both"]
        rows.append([found["dataset"], name, f"{both['count']:,}", three(both["mrr"]), three(both["hits@10"])])
    return rows


def training_row(found: Result) -> list[str]:
    """What a run cost, and the state it ended in."""
    return [
        found["dataset"],
        str(found["hyperparameters"]["dim"]),
        f"{found['epochs_run']}, {found['best_epoch']}",
        f"{found['train_seconds'] / 60:.0f}",
        f"{found['epoch_seconds_median']:.2f}",
        f"{found['eval_seconds']:.2f}",
        str(found["skipped_steps"]),
        "yes" if found["all_parameters_finite"] else "no",
        f"{found['largest_relative_error_of_time']:.0e}",
    ]


HEADER = ["data", "model", "d", "optimizer", "seed", "protocol", "scored by", "MRR", "H@1", "H@3", "H@10"]
TRAINING_HEADER = ["data", "d", "epochs, best", "training, min", "s / epoch", "ranking the test, s", "skipped steps"]
TRAINING_HEADER += ["all finite", "largest relative error of time coordinates"]


def accuracy_summary() -> Lines:
    """The README's selection: the figures themselves."""
    names = present("kg_accuracy_*")
    if not names:
        return []
    return [
        "**Knowledge-graph completion**, filtered test figures. One seed each; the settings, in the commands, "
        "come from short runs compared on validation triples. The protocol `hybonet` drops the given entity from the "
        "candidates; figures of the two do not compare. Scored by `functional`, answers of relations with many of them "
        "are ranked by the reciprocal triples' scores; no published figure does so, and those of the same weights "
        "`asked` as usual stand below:",
        "",
        *table(HEADER, [row for name in names for row in accuracy_rows(result(name))]),
        "",
        *long_training(),
        *map(source, [*names, *present("kg_long_*")]),
        "",
    ]


def long_training() -> Lines:
    """How long runs in float32 ended."""
    found = [result(name) for name in present("kg_long_*")]
    said = [
        f"{run['epochs_run']} epochs of float32 training on {run['dataset']} end with all parameters "
        f"{'finite' if run['all_parameters_finite'] else 'NOT finite'}, {run['skipped_steps']} steps skipped, and "
        f"points within {run['largest_relative_error_of_time']:.0e} of the hyperboloid (validation MRR "
        f"{three(run['history']['mrr'][run['history']['epoch'].index(run['best_epoch'])])}, test MRR in the protocol "
        f"`hybonet` {three(run['test_hybonet']['both']['mrr'])})."
        for run in found
    ]
    return [*said, ""] if said else []


def accuracy() -> Lines:
    """All on accuracy: the figures, by category, cost and state of the runs, figures of papers."""
    names = present("kg_accuracy_*")
    if not names:
        return []
    found = [result(name) for name in names]
    return [
        *accuracy_summary(),
        "What these runs cost and how they ended; the last column compares the points with ones whose time coordinate "
        "is recomputed in float64:",
        "",
        *table(TRAINING_HEADER, [training_row(each) for each in found]),
        "",
        "By category of the relation, `standard` protocol:",
        "",
        *table(["data", "category", "queries", "MRR", "H@10"], [row for each in found for row in category_rows(each)]),
        "",
        *published({each["dataset"] for each in found}),
    ]


def published(datasets: set[str]) -> Lines:
    """Figures of papers on these data."""
    rows = [
        [data, model, str(dim), who, candidates, *figures]
        for model, dim, data, figures, who, candidates in PUBLISHED
        if data in datasets
    ]
    if not rows:
        return []
    return [
        "Published figures of low dimension, as their authors give them beside their code; not measured here:",
        "",
        *table(["data", "model", "d", "source", "candidates", "MRR", "H@1", "H@3", "H@10"], rows),
        "",
    ]


# -- optimizers -------------------------------------------------------------------------------------------------------


def seeds_of(runs: Mapping[str, Result], dataset: str) -> list[str]:
    """The seeds for which every run of a data set is there."""
    wanted = [("lorentz-sam", "epochs"), *RIVALS]
    found = {key.split("|")[3] for key in runs if key.startswith(f"{dataset}|")}
    return sorted(s for s in found if all(f"{dataset}|{name}|{budget}|{s}" in runs for name, budget in wanted))


def mrr_gains(runs: Mapping[str, Result], dataset: str, rival: str, budget: str) -> list[float]:
    """By how much Lorentz SAM's test MRR exceeds another's, seed by seed, times 100."""
    pairs = (
        (runs[f"{dataset}|lorentz-sam|epochs|{s}"], runs[f"{dataset}|{rival}|{budget}|{s}"])
        for s in seeds_of(runs, dataset)
    )
    return [100 * (ours["test_mrr"] - theirs["test_mrr"]) for ours, theirs in pairs]


def optimizer_rows(runs: Mapping[str, Result]) -> list[list[str]]:
    """For each data set the MRR of Lorentz SAM and its differences to the others; then the mean over the data."""
    datasets = [name for name in dict.fromkeys(key.split("|")[0] for key in runs) if seeds_of(runs, name)]
    rows, columns = [], []
    for name in datasets:
        gains = [mrr_gains(runs, name, *rival) for rival in RIVALS]
        scores = [100 * runs[f"{name}|lorentz-sam|epochs|{s}"]["test_mrr"] for s in seeds_of(runs, name)]
        columns.append(gains)
        rows.append([name, str(len(scores)), f"{mean_ci95(scores)[0]:.2f}", *(signed(mean_ci95(g)) for g in gains)])
    if len({len(gains[0]) for gains in columns}) == 1:  # the same seeds everywhere
        means = [[sum(each) / len(each) for each in zip(*found, strict=True)] for found in zip(*columns, strict=True)]
        rows.append(["mean", "", "", *(signed(mean_ci95(gain)) for gain in means)])
    return rows


def seconds_ratios(runs: Mapping[str, Result]) -> Lines:
    """Training time of the rivals over Lorentz SAM's: how equal "equal time" was."""
    parts = []
    for name, budget in RIVALS:
        found = [
            runs[f"{data}|{name}|{budget}|{s}"]["train_seconds"]
            / runs[f"{data}|lorentz-sam|epochs|{s}"]["train_seconds"]
            for data in dict.fromkeys(key.split("|")[0] for key in runs)
            for s in seeds_of(runs, data)
        ]
        parts.append(f"{name} at equal {budget} {min(found):.2f} to {max(found):.2f}")
    return [f"Training time over that of Lorentz SAM's run: {', '.join(parts)}.", ""]


def optimizers() -> Lines:
    """Lorentz SAM against Riemannian Adam and Riemannian SGD."""
    found = result("kg_optimizers") if present("kg_optimizers") else {"runs": {}}
    rows = optimizer_rows(found["runs"])
    if not rows:
        return []
    header = ["data", "seeds", "lorentz-sam MRR", *(f"to {name}, equal {budget}" for name, budget in RIVALS)]
    return [
        "**Lorentz SAM against its base and plain descent**, HyboNet, filtered test MRR times 100 in the `standard` "
        "protocol; paired differences, 95 % intervals over seeds. A SAM step has two passes, so equal time gives the "
        "others twice the epochs; the settings of each are in the file:",
        "",
        *table(header, rows),
        "",
        *seconds_ratios(found["runs"]),
        source("kg_optimizers"),
        "",
    ]


# -- time -------------------------------------------------------------------------------------------------------------


def to_mrr() -> Lines:
    """Training time until a validation MRR."""
    if not present("kg_time_to_mrr"):
        return []
    found = result("kg_time_to_mrr")
    rows = []
    for name, label in (
        ("gsam", "gsam, default preset with `radam`"),
        ("plain", "plain HyboNet, 50 gathered negatives"),
    ):
        row = found[name]
        reached = "" if row["reached"] else " (not reached)"
        rows.append(
            [
                label,
                f"{row['seconds']:.0f}{reached}",
                str(row["epochs"]),
                f"{row['mrr']:.3f}",
                f"{row['seconds_per_epoch']:.1f}",
            ]
        )
    at_least = "" if found["plain"]["reached"] else "at least "
    ratio = f" ({at_least}{found['ratio']:.1f} times faster)" if found["gsam"]["reached"] else ""
    return [
        f"**Training time to validation MRR {found['target']:.2f}** on WN18RR, d = 32, ranking left out{ratio}; both "
        "in one process. The settings of the library's run are its own, those of the plain one the published ones with "
        "dense Riemannian Adam of geoopt:",
        "",
        *table(["", "s", "epochs", "MRR", "s / epoch"], rows),
        "",
        source("kg_time_to_mrr"),
        "",
    ]


def ranking() -> Lines:
    """Filtered evaluation against PyTorch Geometric's, and the agreement of ranks with a reference."""
    lines: Lines = []
    for name in present("kg_ranking_*"):
        found = result(name)
        seconds = ", ".join(f"{model} {value:.2f} s" for model, value in found["seconds"].items())
        lines += [
            f"**Filtered evaluation** of {found['queries']:,} queries against {found['entities']:,} entities "
            f"({found['dataset']}): {seconds}. PyG's `KGEModel.test` on ComplEx, unfiltered and on tails alone, takes "
            f"{found['times_as_fast_as_pyg_on_complex']:.0f} times as long for as many queries of the same model "
            f"(extrapolated from {found['pyg_timed_on_triples']} triples). {agreement(found)}",
            "",
            source(name),
            "",
        ]
    return lines


def agreement(found: Result) -> str:
    """In how many queries ranks equal those of the reference."""
    parts = [
        f"{model} {row['float64_equal']} in float64 and {row['float32_equal']} in float32 of {row['queries']}"
        for model, row in found["agreement"].items()
    ]
    return f"Ranks equal to those of a reference that scores one query at a time in float64: {'; '.join(parts)}."


def prediction() -> Lines:
    """Seconds of an answer on the command line."""
    lines: Lines = []
    for name in present("kg_predict_*"):
        found = result(name)
        parts = [
            f"{model} {row['beyond_importing_torch']:.2f} s (import of torch {row['seconds']['import torch']:.2f} s)"
            for model, row in found["models"].items()
        ]
        lines += [
            f"**`gsam kg predict`** with {found['entities']:,} entities, d = {found['dim']}, beyond importing torch: "
            f"{', '.join(parts)}.",
            "",
            source(name),
            "",
        ]
    return lines


# -- pages ------------------------------------------------------------------------------------------------------------


def collected(blocks: Sequence[Callable[[], Lines]]) -> Lines:
    """The lines of all blocks whose files are there."""
    return [line for block in blocks for line in block()]


def knowledge_graphs_summary() -> Lines:
    """For the README."""
    return collected((accuracy_summary, optimizers, to_mrr, ranking, prediction))


def knowledge_graphs() -> Lines:
    """For the page on numbers."""
    return collected((accuracy, optimizers, to_mrr, ranking, prediction))
