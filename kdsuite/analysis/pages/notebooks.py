"""Notebooks and Markdown files as HTML: text and outputs in view, code folded away."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from kdsuite import paths
from kdsuite.analysis.report import TEMPLATES

# what an output is shown as where it has several forms; widgets and scripts would need a server
SHOWN = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]
# what nbformat raises beside its own error
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
BROKEN = '<p class="absent">This notebook was interrupted while it was written.</p>'


@cache
def _exporter():
    """Return nbconvert's exporter with its ``basic`` template and our way to show a cell."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config(
        TagRemovePreprocessor={
            "enabled": True,
            "remove_cell_tags": {"remove-cell"},
            "remove_all_outputs_tags": {"answer"},  # it stands at the head of the page
        },
        CoalesceStreamsPreprocessor={"enabled": True},
        NbConvertBase={"display_data_priority": SHOWN},
    )
    template = (TEMPLATES / "cells.jinja").read_text(encoding="utf-8")
    return HTMLExporter(
        config=config,
        template_name="basic",
        raw_template=template,
        exclude_anchor_links=True,
        embed_images=True,
    )


def html(cells: Iterable[Any], level: int = 1) -> str:
    """Return cells as HTML whose headings begin ``level`` below their own; a page's title is the
    first. Pictures of the repository are embedded."""
    place = {"metadata": {"path": str(paths.ROOT)}}
    body, _ = _exporter().from_notebook_node(new_notebook(cells=list(cells)), place)
    return re.sub(r"<(/?)h([1-5])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + level}", body)


def read(notebook: Path) -> list[Any]:
    """Return the cells of a notebook; a cell that says so where it was interrupted while it was
    written, or is none."""
    try:
        book = nbformat.read(notebook, as_version=4)
        nbformat.validate(book)
        return book.cells or [new_markdown_cell(BROKEN)]
    except (nbformat.ValidationError, *DAMAGE):
        return [new_markdown_cell(BROKEN)]


def outputs(cells: list[Any], tag: str) -> str:
    """Return the outputs of the cells with this tag as HTML."""
    tagged = [cell for cell in cells if tag in cell.metadata.get("tags", []) and cell.outputs]
    return html(nbformat.from_dict(cell | {"source": "", "metadata": {}}) for cell in tagged)


def documentation() -> Iterator[tuple[str, str, str]]:
    """Yield file, title and HTML of the README, which is the index, and of ``docs/*.md``; links to
    files that are no pages become text."""
    files = [*paths.ROOT.glob("README.md"), *sorted((paths.ROOT / "docs").glob("*.md"))]
    names = {file.name: f"{file.stem}.html".replace("README", "index") for file in files}

    def link(tag):
        name = names.get(tag[1].removeprefix("docs/"))
        return f'<a href="{name}">{tag[2]}</a>' if name else tag[2]

    for file in files:
        # as if docs/ were the root, where the README and all pictures are
        text = file.read_text(encoding="utf-8").replace("](../", "](")
        title, _, rest = text.removeprefix("# ").partition("\n")
        body = html([new_markdown_cell(rest)], level=0)
        link_to_file = r'<a href="([^":]*)">(.*?)</a>'
        yield names[file.name], title, re.sub(link_to_file, link, body, flags=re.DOTALL)
