"""``gsam kg eval``, ``predict`` and ``embed``: what to do with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsam.cli.common import Device, Quiet, choose_device, integers, use_threads
from gsam.cli.kg import Threads, app

Run = Annotated[Path, typer.Option("--run", help="The folder of a run of `gsam kg train`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("eval", epilog="Example: gsam kg eval --run runs/1 --protocol hybonet --by relation")
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    protocol: Annotated[
        str, typer.Option(help="standard; or hybonet: the given entity is no candidate, as in HyboNet's code.")
    ] = "standard",
    by: Annotated[str | None, typer.Option(help="relation or category (1-1, 1-N, N-1, N-N).")] = None,
    hits: Annotated[str, typer.Option(help="The k of Hits@k, such as 1,3,10.")] = "1,3,10",
    json: Json = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Rank the triples of a split among all entities, those that make a known triple left out."""
    if by not in (None, "relation", "category"):
        raise ValueError(f"expected --by relation or category, found {by!r}")
    ks = integers(hits, "--hits")
    from gsam.cli.kg_tables import figures_header, figures_row, show_table
    from gsam.kg.ranking import rank
    from gsam.kg.run import load_run

    if threads is not None:
        use_threads(threads)
    opened = load_run(run, device=choose_device(device))
    ranking = rank(opened.model, opened.graph, split, protocol=protocol)
    if by is None:
        names = {"head": "missing head", "tail": "missing tail", "both": "both"}
        figures = ranking.metrics(ks)
        rows = {name: figures[side] for side, name in names.items()}
    else:
        grouped = (ranking.per_relation if by == "relation" else ranking.per_category)(opened.graph, ks)
        rows = {name: found["both"] for name, found in grouped.items()}
    if json:
        print_json({"split": split, "protocol": protocol, "figures": rows})
        return
    header = figures_header(f"{split} triples, {protocol} protocol", ks)
    show_table(header, [figures_row(name, found, ks) for name, found in rows.items()], numbers=range(1, len(header)))


@app.command(epilog="Example: gsam kg predict --run runs/1 --head dog.n.01 --relation hypernym --top 5")
def predict(
    run: Run,
    relation: Annotated[str, typer.Option(help="Name of the relation.")],
    head: Annotated[str | None, typer.Option(help="Name of the head; the tail is asked for.")] = None,
    tail: Annotated[str | None, typer.Option(help="Name of the tail; the head is asked for.")] = None,
    top: Annotated[int, typer.Option(help="How many answers.")] = 10,
    known: Annotated[bool, typer.Option("--known", help="Let known triples compete; left out otherwise.")] = False,
    json: Json = False,
) -> None:
    """List the entities that complete a triple best, by score; scores compare within one question only."""
    if (head is None) == (tail is None):
        raise ValueError("expected one of --head, to find tails, and --tail, to find heads, found both or neither")
    from gsam.kg.prediction import open_for_prediction, predict

    model, graph = open_for_prediction(run)
    found = predict(model, graph, head=head, tail=tail, relation=relation, top=top, known=known)
    if json:
        print_json([vars(answer) for answer in found])
        return
    from gsam.cli.kg_tables import show_table

    asked = f"{head} {relation} ?" if tail is None else f"? {relation} {tail}"
    rows = [[str(answer.rank), answer.entity, f"{answer.score:.4f}", ", ".join(answer.known)] for answer in found]
    show_table(("rank", asked, "score", "known in"), rows, numbers=(0, 2))
    if not known:
        typer.echo("known triples are left out; --known shows them")


@app.command(epilog="Example: gsam kg embed --run runs/1 --format tsv --out embedding.tsv")
def embed(
    run: Run,
    format: Annotated[str, typer.Option(help="npz, tsv or graphml.")] = "npz",
    out: Annotated[Path | None, typer.Option(help="The file; by default embedding.FORMAT in the run's folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write names and coordinates of the entities to a file for other tools.

    In hyperbolic space also their coordinates in the Poincare ball and their distances from the origin; graphml has the
    training triples as well.
    """
    from gsam.files import OutputError
    from gsam.kg.embed import EMBEDDING_FORMATS, embeddings, save_embeddings
    from gsam.kg.run import load_run

    if format not in EMBEDDING_FORMATS:
        raise ValueError(f"expected --format {', '.join(EMBEDDING_FORMATS)}, found {format!r}")
    path = run / f"embedding.{format}" if out is None else out
    if path.is_dir():
        raise OutputError(f"expected a file for --out, found a folder at {path}; choose a name in it")
    if path.exists() and not force:
        raise OutputError(f"expected no file at {path}, found one; use --force or another --out")
    opened = load_run(run)
    save_embeddings(embeddings(opened.model), opened.graph, path, format=format)
    if not quiet:
        typer.echo(f"written: {path}")


def print_json(content: object) -> None:
    """Print JSON on standard output."""
    import json

    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
