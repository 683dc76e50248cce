"""``gsam datasets``: which data sets there are, where their files are, how to get them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gsam.datasets.info import DatasetInfo

app = typer.Typer(
    name="datasets",
    help="List the known data sets, show where their files are, fetch or build them.",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(help="A name that `gsam datasets list` shows.", metavar="NAME")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


@app.command("list")
def list_command() -> None:
    """Show every known data set: task, sizes, licence, and whether its files are here.

    Needs no file and no network. Example: gsam datasets list
    """
    from gsam.datasets.info import Sizes, TripleSizes
    from gsam.datasets.registry import list_datasets

    for kind in (Sizes, TripleSizes):
        rows = [_summary(entry) for entry in list_datasets() if isinstance(entry.sizes, kind)]
        _print_table(("name", "task", *kind._fields, "files", "licence"), rows, numeric=kind._fields)
        if kind is Sizes:
            typer.echo()


@app.command("info")
def info_command(name: _Name) -> None:
    """Show all that is known about one data set, where its files are or must be put, and whether they are intact.

    Needs no file and no network. Example: gsam datasets info coauthor-cs
    """
    from gsam.datasets.registry import info

    for key, value in _details(info(name)):
        typer.echo(f"{key + ':' if key else '':<10} {value}")


@app.command("fetch")
def fetch_command(
    name: _Name,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Data folder to download to (default: $GSAM_DATA, else the cache)."),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Download the raw files of a data set unless they are here already; print the folder that holds them.

    Where no stable address is known it says where to get the files and where to put them.
    Example: gsam datasets fetch cora
    """
    import contextlib
    import io

    from gsam.datasets.fetch import fetch

    # each download is announced on standard error
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        folder = fetch(name, folder=out)
    if not quiet:
        typer.echo(str(folder))


@app.command("build")
def build_command(
    name: _Name,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")],
    dictionary: Annotated[
        Path, typer.Option("--dict", metavar="DIR", help="Folder with WordNet's data.noun, data.verb and index files.")
    ] = Path("/usr/share/wordnet"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are in DIR already.")] = False,
    quiet: _Quiet = False,
) -> None:
    """Build a bundled data set again from its sources, and say whether the result is the one in the package.

    Example: gsam datasets build wordnet --dict /usr/share/wordnet --out build/wordnet
    """
    from gsam.datasets.errors import DatasetError
    from gsam.datasets.manifest import read_manifest
    from gsam.datasets.registry import info

    entry = info(name)
    if not entry.bundled:
        raise DatasetError(f"{entry.name} is not built but published: use `gsam datasets fetch {entry.name}`")
    from gsam.datasets.wordnet import BUILDERS

    built = BUILDERS[entry.name](dictionary, out, force=force)
    if not quiet:
        same = built["content_sha256"] == read_manifest(entry)["content_sha256"]
        verdict = "the same as" if same else "not the same as"
        typer.echo(f"{out / built['file']}: {built['bytes']:,} bytes, content {verdict} the bundled one")


def _summary(entry: DatasetInfo) -> tuple[str, ...]:
    sizes = (f"{size:,}" for size in entry.sizes)
    return (entry.name, entry.task, *sizes, _state(entry), entry.source.licence)


def _state(entry: DatasetInfo) -> str:
    """Return in one word where the files are."""
    from gsam.datasets.locations import cache_folder, locate

    folder = locate(entry)
    if folder is None:
        return "not here"
    if entry.bundled:
        return "bundled"
    return "cache" if folder == cache_folder() / entry.folder else "GSAM_DATA"


def _details(entry: DatasetInfo) -> list[tuple[str, str]]:
    return [
        ("name", entry.name),
        ("content", entry.title),
        ("task", entry.task),
        ("sizes", entry.sizes.text),
        *([("", f"({entry.note})")] if entry.note else []),
        ("licence", entry.source.licence),
        ("citation", entry.source.citation),
        ("files", _where(entry)),
        *_splits(entry),
        *(_bundle_details(entry) if entry.bundled else []),
    ]


def _where(entry: DatasetInfo) -> str:
    from gsam.datasets.locations import how_to_place, locate

    folder = locate(entry)
    if folder is not None:
        return f"{folder} ({len(entry.files)} file{'s' * (len(entry.files) > 1)})"
    way = (
        f"run `gsam datasets fetch {entry.name}`, or"
        if entry.downloadable
        else f"get them from {entry.source.home} and"
    )
    return f"not here: {way} {how_to_place(entry)}"


def _splits(entry: DatasetInfo) -> list[tuple[str, str]]:
    """Return a line per class split of the literature."""
    from gsam.datasets.class_splits import published_splits
    from gsam.datasets.info import TripleSizes

    if isinstance(entry.sizes, TripleSizes):
        return []
    return [
        ("split", f"{name}: {split.counts} train, validation and test classes ({split.source})")
        for name, split in published_splits(entry.name, num_classes=entry.sizes.classes).items()
    ]


def _bundle_details(entry: DatasetInfo) -> list[tuple[str, str]]:
    from gsam.datasets.manifest import intact, read_manifest

    manifest = read_manifest(entry)
    verdict = "file matches" if intact(entry) else "FILE DIFFERS: reinstall gsam-torch"
    classes = manifest.get("class_split", {}).items()
    return [
        ("sha256", f"{manifest['sha256']} ({verdict})"),
        *((f"{part} set", f"{len(names)} classes: {', '.join(names)}") for part, names in classes),
        *([("relations", ", ".join(manifest["relations"]))] if "relations" in manifest else []),
    ]


def _print_table(heading: tuple[str, ...], rows: list[tuple[str, ...]], *, numeric: tuple[str, ...]) -> None:
    """Print a rich table on a terminal, plain aligned columns elsewhere."""
    import sys

    if sys.stdout.isatty():
        _print_rich(heading, rows, numeric)
        return
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    for row in (heading, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_rich(heading: tuple[str, ...], rows: list[tuple[str, ...]], numeric: tuple[str, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in heading:
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
