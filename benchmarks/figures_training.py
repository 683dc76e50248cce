"""The figures on killed runs, large graphs and Riemannian steps, as Markdown, of the files that are there."""

from __future__ import annotations

from typing import Any

import figure_files
from figure_files import Lines, result, source, table

COMMANDS = {"fewshot": "`fewshot run`", "nodes": "`nodes run`", "kg": "`kg train`"}
#: files whose figures stand on both pages
NAMES = ("resume", "processes", "split", "large", "soak", "riemannian_step", "compile")


def there(name: str) -> bool:
    """Whether a file of that name is in results/."""
    return (figure_files.RESULTS / f"{name}.json").exists()


def resume() -> Lines:
    """How many killed runs end as undisturbed ones, and what becomes of faults."""
    found = result("resume")
    counts = ", ".join(f"{found[key]['identical']} of {found[key]['kills']} {name}" for key, name in COMMANDS.items())
    faults = found["faults"]
    handled = [name for name, fault in faults.items() if fault["as_it_should"]]
    return [
        f"**Runs killed by SIGKILL** at a random moment and resumed end with the weights, histories and results of an "
        f"undisturbed run, bit for bit: {counts}. Faults that were told in one line or mended, without losing the last "
        f"good state: {len(handled)} of {len(faults)} ({', '.join(handled)}).",
        "",
        source("resume"),
        "",
    ]


def processes() -> Lines:
    """How close two processes come to one, and their time over that of one."""
    found = result("processes")
    rows = [
        [
            name,
            pair["ascent"],
            f"{pair['largest_relative_loss_difference']:.0e}",
            f"{pair['largest_weight_difference']:.0e}",
            f"{pair['training_time_of_two_over_one']:.2f}",
        ]
        for name, pair in found["pairs"].items()
    ]
    header = ["training", "ascent", "largest relative difference of losses", "of weights", "time over one process"]
    return [
        "**Two processes** (gloo, a thread each) against one on the joint batch, or for a local ascent against m-SAM "
        "with two shards, in float32. The steps are small here: sending gradients costs what sharing saves, or more:",
        "",
        *table(header, rows),
        "",
        source("processes"),
        "",
    ]


def split() -> Lines:
    """What splitting tables saves and costs."""
    found = result("split")
    names = {"one": "one process", "whole": "two, whole tables in each", "split": "two, tables split"}
    rows = [
        [
            text,
            f"{max(found[key]['tables_gib']):.2f}",
            f"{max(found[key]['peak_memory_gib']):.2f}",
            f"{found[key]['epoch_seconds'] / found['one']['epoch_seconds']:.2f}",
            f"{found[key]['ranking_seconds'] / found['one']['ranking_seconds']:.2f}",
        ]
        for key, text in names.items()
    ]
    header = ["", "GiB of tables in a process", "peak memory, GiB", "time of an epoch", "of a ranking"]
    one, apart = found["one"], found["split"]["relative_loss_difference"]
    return [
        f"**Tables split over processes** (gloo, a thread each): HyboNet with `radam` on {one['entities']:,} entities "
        f"with {one['coordinates']} coordinates each, an epoch of {one['triples']:,} triples and their reciprocals, "
        f"{one['queries']} queries ranked; times over those of one process. The loss of the epoch is that of one "
        f"process within {apart:.0e}:",
        "",
        *table(header, rows),
        "",
        source("split"),
        "",
    ]


def large() -> Lines:
    """Seconds and memory on large graphs."""
    found = result("large")
    kg = found["kg"]
    kg_text = (
        f"HyboNet on {kg['entities']:,} entities with {kg['coordinates']} coordinates each trains an epoch of "
        f"{kg['triples']:,} triples and their reciprocals in {kg['epoch_seconds']:.0f} s and ranks {kg['queries']:,} "
        f"queries in {kg['ranking_seconds']:.0f} s, with at most {kg['peak_memory_gib']:.1f} GiB of memory."
    )
    few_shot = " ".join(_few_shot(found[part]) for part in ("arxiv", "nodes"))
    return [
        f"**Large graphs**, random ones, one process each: {kg_text} {few_shot}",
        "",
        source("large"),
        "",
    ]


def _few_shot(found: dict[str, Any]) -> str:
    limit = found["max_neighbors"]
    blocks = "exact blocks" if limit is None else f"at most {limit} neighbours of a node in a block"
    return (
        f"On a graph of {found['nodes']:,} nodes, {found['edges']:,} edges and {found['features']} features in their "
        f"file, {found['episodes']} training episodes of GPN with `{found['optimizer']}` and {blocks} take "
        f"{found['train_seconds']:.1f} s after {found['prepare_seconds']:.0f} s of preparation, with at most "
        f"{found['peak_memory_gib']:.1f} GiB."
    )


def soak() -> Lines:
    """Whether memory grows over a long training."""
    found = result("soak")
    names = {"fewshot": "few-shot", "kg": "knowledge-graph", "processes": "knowledge-graph (two processes)"}
    parts = [
        f"{found[part]['trainings']} {name} trainings in {found[part]['minutes']:.0f} minutes, "
        f"{found[part]['mib_a_minute']:+.2f} MiB a minute in the second half at {found[part]['last_mib']:.0f} MiB"
        for part, name in names.items()
        if part in found
    ]
    flat = all(found[part]["flat"] for part in names if part in found)
    return [
        f"**Memory over time**, one process after the other: {'; '.join(parts)}. The bound is {found['kg']['bound']:g} "
        f"MiB a minute: {'kept' if flat else 'not kept'}.",
        "",
        source("soak"),
        "",
    ]


def riemannian_step() -> Lines:
    """What Riemannian SAM costs over its base."""
    found = result("riemannian_step")
    parts = [
        f"{kind}: " + ", ".join(f"`{name}` {ratio:.2f}" for name, ratio in found[kind]["against_base"].items())
        for kind in ("row-sparse", "dense")
    ]
    return [
        f"**A step of Riemannian SAM** over one of `radam`, passes included, HyboNet on {found['dataset']}: "
        f"{'; '.join(parts)}.",
        "",
        source("riemannian_step"),
        "",
    ]


def compiled() -> Lines:
    """What torch.compile gains, and whether it changes anything."""
    found = result("compile")
    graphs = found["graphs"]
    names = {"nodes": f"SAM on {graphs['nodes']} ({found['model']})", "kg": f"Lorentz SAM on HyboNet, {graphs['kg']}"}
    parts = [
        f"{text} {found[key]['eager_over_compiled']:.2f} times as fast as eager once warm, first step "
        f"{found[key]['first_step_seconds']['compiled']:.0f} s, weights apart by "
        f"{found[key]['weights_part_by']['float64']:.0e} of the largest in float64 "
        f"({found[key]['weights_part_by']['float32']:.0e} in float32)"
        for key, text in names.items()
        if key in found
    ]
    return [f"**Training steps compiled by `torch.compile`**: {'; '.join(parts)}.", "", source("compile"), ""]


def training() -> Lines:
    """All of them whose files are there."""
    blocks = {
        "resume": resume,
        "processes": processes,
        "split": split,
        "large": large,
        "soak": soak,
        "riemannian_step": riemannian_step,
        "compile": compiled,
    }
    return [line for name in NAMES if there(name) for line in blocks[name]()]
