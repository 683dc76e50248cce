"""Sphinx configuration. Builds without a network: ``make docs``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import gsam

project = "gsam"
author = "The gsam developers"
copyright = "2026, The gsam developers"
version = release = gsam.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
exclude_patterns = ["_build", "reference/generated"]

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# a reference to something of ours must lead somewhere; other projects are not looked up, as that takes a network
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!gsam\.).*"),
    (r"py:attr", r"gsam\.datasets\.NodeDataset\..*"),  # fields, which its docstring lists
    (r"py:class", r"gsam\.(.*\._.*|graphs\.adjacency\.Features)"),  # private names and type variables in signatures
    # inner types in signatures, and a base class
    (r"py:class", r"gsam\.kg\.(batches\..*|losses\.LossFunction|negatives\..*|ogb\.TripleScorer)"),
    (r"py:class", r"gsam\.(datasets\.triples\.TripleText|optim\.riemannian_base\.RiemannianOptimizer)"),
    (r"py:class", r"gsam\.(kg\.\w+\.\w+Scores|kg\.scoring_model\.ScoringModel|files\.OutputError)"),
]

html_theme = "furo"
html_math_renderer = "mathml"  # browsers draw it themselves: no script, no network
html_title = f"gsam {version}"
html_theme_options = {"navigation_with_keys": True}


def write_command_help(folder: Path) -> None:
    """The help of every command, as it is printed, in ``commands.txt``."""
    import typer
    from typer.testing import CliRunner

    from gsam.cli.app import app

    runner, parts = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}), []
    for path in command_paths(typer.main.get_command(app)):
        shown = runner.invoke(app, [*path, "--help"], prog_name="gsam")
        parts.append(f"$ {' '.join(['gsam', *path, '--help'])}\n{shown.output.strip()}\n")
    (folder / "commands.txt").write_text("\n\n".join(parts))


def command_paths(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The command and its sub-commands, as words."""
    below = getattr(command, "commands", {})
    return [path, *(found for name, child in below.items() for found in command_paths(child, (*path, name)))]


def write_peers(folder: Path) -> None:
    """The layers that have a peer, in ``peers.md``."""
    import gsam.nn  # noqa: F401  (fills the registry)
    from gsam.nn.peer_registry import registered_layers

    (folder / "peers.md").write_text(", ".join(f"`{layer.__name__}`" for layer in registered_layers()) + ".\n")


def write_math(translator: Any, node: Any) -> None:
    """A formula as MathML; what it cannot say fails the build."""
    block = isinstance(node, nodes.math_block)
    formula = re.sub(r"\\dots\b", r"\\ldots", node.astext())  # the converter knows the second only
    mathml = tex2mathml(formula, as_block=block)
    translator.body.append(f'<div style="padding: 0.5em 0">{mathml}</div>' if block else mathml)
    raise nodes.SkipNode


def generate(_app: object) -> None:
    """Write what pages include."""
    folder = Path(__file__).parent / "reference" / "generated"
    folder.mkdir(exist_ok=True)
    write_command_help(folder)
    write_peers(folder)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", generate)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
