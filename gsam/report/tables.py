"""Tables of results: accuracy with its interval, paired differences, time, and always the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gsam.evaluation import mean_ci95

HEADER = ("method", "optimizer", "accuracy %", "difference to {reference}", "s / 200 episodes", "time ratio")


def paired_difference(result: dict[str, Any], reference: dict[str, Any]) -> tuple[float, float | None]:
    """Mean over seeds of the difference in test accuracy, in points, with its 95 % half-width.

    Raises:
        ValueError: the two results have other seeds.
    """
    ours, theirs = ({r["seed"]: r["test_accuracy"] for r in found["per_seed"]} for found in (result, reference))
    if set(ours) != set(theirs):
        raise ValueError(f"expected the same seeds for a paired difference, found {sorted(ours)} and {sorted(theirs)}")
    return mean_ci95([ours[seed] - theirs[seed] for seed in ours])


def comparison(results: Sequence[dict[str, Any]], reference: str = "adam") -> tuple[list[str], list[list[str]]]:
    """Header and rows that compare few-shot results (the content of results.json) on the same data and seeds.

    Args:
        results: one for each method and optimizer; all must have the same seeds.
        reference: the optimizer that differences and time ratios refer to, within the same method.
    """
    rows = []
    for result in results:
        base = next((r for r in results if r["optimizer"] == reference and r["method"] == result["method"]), None)
        rows.append(_row(result, base))
    shown = {result["method"] for result in results}
    for name, mean in results[0]["baseline"].items():
        if name.replace("_", "-") in shown:  # a run of the baseline itself
            continue
        interval = results[0]["baseline_ci95"][name]
        rows.append([name.replace("_", "-"), "(not trained)", with_interval(mean, interval), "", "", ""])
    return [column.format(reference=reference) for column in HEADER], rows


def _row(result: dict[str, Any], base: dict[str, Any] | None) -> list[str]:
    seconds = result["seconds_per_200_episodes"]
    row = [
        result["method"],
        result["optimizer"] or "(not trained)",
        with_interval(result["accuracy_mean"], result["accuracy_ci95"]),
    ]
    if base is None or base is result:
        return [*row, "", f"{seconds:.2f}", "1.00" if base is result else ""]
    difference = with_interval(*paired_difference(result, base), sign=True)
    return [*row, difference, f"{seconds:.2f}", f"{seconds / base['seconds_per_200_episodes']:.2f}"]


def with_interval(mean: float, interval: float | None, *, sign: bool = False) -> str:
    """``71.3 ± 1.2``, or without the interval where there is none."""
    number = f"{mean:+.2f}" if sign else f"{mean:.2f}"
    return number if interval is None else f"{number} ± {interval:.2f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
