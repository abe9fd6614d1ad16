"""Notebooks and Markdown files as HTML: text and outputs in view, code folded away."""

import base64
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

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
BROKEN = '<p class="absent">This notebook was interrupted while it was written.</p>'


@cache
def _exporter():
    """Return nbconvert's exporter with its ``basic`` template and our way to show a cell."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config(
        TagRemovePreprocessor={"enabled": True, "remove_cell_tags": {"remove-cell"}},
        CoalesceStreamsPreprocessor={"enabled": True},
        NbConvertBase={"display_data_priority": SHOWN},
    )
    template = (TEMPLATES / "cells.jinja").read_text(encoding="utf-8")
    return HTMLExporter(
        config=config, template_name="basic", raw_template=template, exclude_anchor_links=True
    )


def html(cells: Iterable[Any], level: int = 1) -> str:
    """Return cells as HTML whose headings begin ``level`` below their own; a page's title is the
    first."""
    body, _ = _exporter().from_notebook_node(new_notebook(cells=list(cells)))
    # code that is wider than the page scrolls by keyboard too; the empty corner of a data frame
    # heads nothing
    body = body.replace("<pre>", '<pre tabindex="0">').replace("<th></th>", "<td></td>")
    return re.sub(r"<(/?)h([1-5])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + level}", body)


def read(notebook: Path) -> list[Any]:
    """Return the cells of a notebook; a cell that says so where it was interrupted while it was
    written."""
    try:
        return nbformat.read(notebook, as_version=4).cells
    except ValueError:
        return [new_markdown_cell(BROKEN)]


def outputs(cells: list[Any], tag: str) -> str:
    """Return the outputs of the cells with this tag as HTML."""
    tagged = [cell for cell in cells if tag in cell.metadata.get("tags", []) and cell.outputs]
    return html(nbformat.from_dict(cell | {"source": "", "metadata": {}}) for cell in tagged)


def markdown(text: str, folder: Path, names: Mapping[Path, str]) -> str:
    """Return a Markdown file's text as HTML: links to other files become text, pictures are
    embedded."""

    def link(tag):
        name = tag[1] if urlparse(tag[1]).scheme else names.get((folder / tag[1]).resolve())
        return f'<a href="{name}">{tag[2]}</a>' if name else tag[2]

    def picture(tag):
        file = folder / tag[1]
        content = base64.b64encode(file.read_bytes()).decode() if file.exists() else ""
        return f'src="data:image/svg+xml;base64,{content}"'

    body = html([new_markdown_cell(text)], level=0)
    body = re.sub(r'<a href="([^"]*)">(.*?)</a>', link, body, flags=re.DOTALL)
    body = re.sub(r'src="([^":]+\.svg)"', picture, body)
    body = body.replace("<table>", '<div class="scroll" tabindex="0"><table>')
    return body.replace("</table>", "</table></div>")
