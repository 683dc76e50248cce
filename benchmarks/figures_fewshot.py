"""The figures on few-shot accuracy, as Markdown: differences seed by seed, and the tables made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from figure_files import Lines, Result, result, signed, source, table

from gsam.fewshot import mean_ci95
from gsam.fewshot.registry import BASELINES, LINES
from gsam.report import with_interval

#: by whether the queries of a task see each other, the baselines to compare with
LINES_OF: Mapping[bool, tuple[str, ...]] = {
    how: tuple(name for name in LINES if BASELINES[name].transductive is how) for how in (False, True)
}

Gains = dict[int, float]


def gains(cell: Result, other: Result | str) -> Gains:
    """By how much a cell's accuracy exceeds another's, or a baseline's, on each seed.

    Raises:
        ValueError: the cells have other seeds, as they do where one failed.
    """
    ours = {record["seed"]: record["test_accuracy"] for record in cell["per_seed"]}
    if isinstance(other, str):
        name = other.replace("-", "_")
        theirs = {record["seed"]: record["baseline"][name] for record in cell["per_seed"]}
    else:
        theirs = {record["seed"]: record["test_accuracy"] for record in other["per_seed"]}
    _check_seeds([ours, theirs])
    return {seed: ours[seed] - theirs[seed] for seed in ours}


def average(cells: Sequence[Gains]) -> tuple[float, float | None]:
    """Mean over seeds of each seed's mean over the cells, with the 95 % t interval over the seeds.

    Raises:
        ValueError: the cells have other seeds.
    """
    _check_seeds(cells)
    return mean_ci95([sum(cell[seed] for cell in cells) / len(cells) for seed in cells[0]])


def _check_seeds(cells: Sequence[Gains]) -> None:
    for cell in cells:
        if set(cell) != set(cells[0]):
            raise ValueError(f"expected the same seeds everywhere, found {sorted(cell)} and {sorted(cells[0])}")


def settings(results: Sequence[Result]) -> list[dict[str, Result]]:
    """The cells of each data set, setting and method, by optimizer."""
    found: dict[tuple[str, ...], dict[str, Result]] = {}
    for cell in results:
        labels = cell["cell"]
        key = tuple(labels[name] for name in ("dataset", "setting", "method"))
        found.setdefault(key, {})[labels["optimizer"]] = cell
    return list(found.values())


def place(cell: Result) -> list[str]:
    """Data set, counts of its class split, ways and shots."""
    task = cell["setting"]
    return [cell["cell"]["dataset"], task["split"].replace(",", "/"), f"{task['ways']}-way {task['shots']}-shot"]


def accuracy(cell: Result) -> str:
    """Mean over seeds with its interval."""
    return with_interval(cell["accuracy_mean"], cell["accuracy_ci95"])


def lines_below(cell: Result) -> dict[str, str]:
    """Name and accuracy of each baseline on the tasks of a cell."""
    found = {key.replace("_", "-"): (mean, cell["baseline_ci95"][key]) for key, mean in cell["baseline"].items()}
    return {_marked(name): with_interval(*line) for name, line in found.items()}


def _marked(line: str) -> str:
    return f"{line} (transductive)" if line in LINES_OF[True] else line


def difference_rows(results: Sequence[Result], others: Sequence[str]) -> list[list[str]]:
    """For each setting FGSAM+'s accuracy and its differences to baselines or to another optimizer; then their means."""
    rows, columns = [], []
    for cells in settings(results):
        ours = cells["fgsam+"]
        found = [gains(ours, cells.get(other, other)) for other in others]
        rows.append([*place(ours), accuracy(ours), *(signed(average([gain])) for gain in found)])
        columns.append(found)
    means = [signed(average(column)) for column in zip(*columns, strict=True)]
    return [*rows, ["mean", "", "", "", *means]]


def overall(results: Sequence[Result], other: str) -> str:
    """FGSAM+'s difference to a baseline or another optimizer over all settings, and whether it can be told from 0."""
    mean, half = average([gains(cells["fgsam+"], cells.get(other, other)) for cells in settings(results)])
    clear = half is not None and abs(mean) > half
    return f"{signed((mean, half))} points (the interval {'excludes' if clear else 'includes'} 0)"


def preset_times(found: Result, results: Sequence[Result]) -> list[str]:
    """Training time of FGSAM+ over Adam's in each setting of a grid, and the mean of these ratios."""
    ratios = {(row["dataset"], row["setting"]): row["over_adam"]["fgsam+"] for row in found["cells"]}
    labels = [next(iter(cells.values()))["cell"] for cells in settings(results)]
    chosen = [ratios[label["dataset"], label["setting"]] for label in labels]
    return [f"{ratio:.2f}" for ratio in (*chosen, sum(chosen) / len(chosen))]


def preset() -> Lines:
    """The default preset with FGSAM+ against the lines that train nothing, and against Adam."""
    results, together = (result(name)["results"] for name in ("grid_preset", "grid_preset_transductive"))
    times = preset_times(result("preset_time"), results)
    others = (*LINES_OF[False], "adam")
    header = ["data", "class split", "task", "accuracy %", *(f"to {other}" for other in others), "time over adam"]
    rows = [[*row, time] for row, time in zip(difference_rows(results, others), times, strict=True)]
    count, seeds = len(rows) - 1, len(results[0]["per_seed"])
    return [
        f"**The default preset**, ResidualGNN, with FGSAM+, {seeds} seeds, each with a class split of its own; paired "
        "differences, 95 % intervals over seeds. The three lines train nothing and, like the method, see one query at "
        "a time. `to adam` is to the same method trained with Adam, and time is that of a training step over Adam's.",
        "",
        *table(header, rows),
        "",
        f"Means are taken for each seed over the {count} settings, then over the {seeds} seeds, with the t interval of "
        f"these. So FGSAM+ is {overall(results, 'adam')} from Adam, and what training adds to "
        f"`tuned-prototype`, the same embedding without the GNN, is {overall(results, 'tuned-prototype')}. With the "
        f"queries of a task classified together (`transductive=true`) the method is "
        f"{overall(together, 'proto-laplacian')} from the transductive line `proto-laplacian`, over "
        f"{len(settings(together))} of the settings.",
        "",
        *(source(name) for name in ("grid_preset", "preset_time", "grid_preset_transductive")),
        "",
    ]


def preset_accuracies() -> Lines:
    """What the differences are made of: the accuracies, the transductive line among them."""
    found, together = (settings(result(name)["results"]) for name in ("grid_preset", "grid_preset_transductive"))
    rows = []
    for cells in found:
        rows.append([*place(cells["adam"]), *map(accuracy, cells.values()), *lines_below(cells["adam"]).values()])
    header = ["data", "class split", "task", *found[0], *lines_below(found[0]["adam"])]
    results = [cell for cells in together for cell in cells.values()]
    others = LINES_OF[True]
    return [
        "The accuracies of the same runs in percent, with 95 % intervals over seeds:",
        "",
        *table(header, rows),
        "",
        "ResidualGNN, transductive, with FGSAM+, against the transductive line on the same tasks:",
        "",
        *table(
            ["data", "class split", "task", "accuracy %", *(f"to {other}" for other in others)],
            difference_rows(results, others),
        ),
        "",
    ]


def optimizer_rows(results: Sequence[Result]) -> list[list[str]]:
    """For each optimizer its accuracy and its difference to Adam in each setting; then the baselines."""
    found = settings(results)
    rows = []
    for name in found[0]:
        row = [name]
        for cells in found:
            difference = "" if name == "adam" else signed(average([gains(cells[name], cells["adam"])]))
            row += [accuracy(cells[name]), difference]
        rows.append(row)
    below = [lines_below(cells["adam"]) for cells in found]
    for line in below[0]:
        rows.append([f"{line}, trains nothing", *(text for lines in below for text in (lines[line], ""))])
    return rows


def optimizers() -> Lines:
    """GPN with every optimizer of the FGSAM paper's third table, on data that anybody can get."""
    results = result("grid_table3_open")["results"]
    tasks = [place(next(iter(cells.values()))) for cells in settings(results)]
    k = settings(results)[0]["fgsam+"]["hyperparameters"]["k"]
    header = ["optimizer", *(text for task in tasks for text in (f"{task[0]} %", "to adam"))]
    return [
        f"**GPN with the published recipe** (FGSAM+ with k = {k}), {tasks[0][2]}, {len(results[0]['per_seed'])} seeds, "
        f"class splits {' and '.join(task[1] for task in tasks)} drawn by seed, 95 % intervals over seeds:",
        "",
        *table(header, optimizer_rows(results)),
        "",
        source("grid_table3_open"),
        "",
    ]
