"""A page for each executed notebook: text and outputs in view, code folded away, nothing fetched from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib import places
from kdlib.site.layout import HERE, environment
from kdlib.site.listing import plain

# what an output is shown as where it has several forms; widgets and scripts would need a server
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


def page_name(name: str) -> str:
    """Return the file name of the page of a notebook that belongs to no run."""
    return plain(name) + ".html"


def write(states: pd.DataFrame, analysis: Mapping[str, Path], folder: Path, suite: str) -> frozenset[str]:
    """Write the pages of the notebooks there are of runs that are shown, remove those of others, and return the pages' names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    for run in states[states.shown].to_dict("records"):
        written |= _page(run["folder"] / "notebook.ipynb", folder / run["page"], suite, run["title"], run)
    for name, notebook in analysis.items():
        written |= _page(Path(notebook), folder / page_name(name), suite, f"{name.capitalize()} notebook", None)
    for stale in folder.glob("*.html"):
        if stale.name not in written:
            stale.unlink()
    return frozenset(written)


def _page(notebook: Path, page: Path, suite: str, title: str, run: Mapping[str, Any] | None) -> set[str]:
    """Write one page where it is older than what it shows; return its name, nothing where there is no notebook."""
    if not notebook.is_file():
        return set()
    sources = [notebook, notebook.with_name("result.json"), *HERE.glob("templates/*"), *HERE.glob("*.py")]
    if not page.exists() or page.stat().st_mtime <= max(source.stat().st_mtime for source in sources if source.exists()):
        text = environment().get_template("notebook.html").render(suite=suite, title=title, run=run, cells=cells(notebook))
        with places.replacing(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return {page.name}


@cache
def _exporter() -> Any:
    """Return nbconvert's exporter with its ``basic`` template and our way to show a cell."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove-cell"}
    config.CoalesceStreamsPreprocessor.enabled = True
    config.NbConvertBase.display_data_priority = SHOWN
    return HTMLExporter(
        config=config,
        template_name="basic",
        raw_template=(HERE / "templates" / "cells.jinja").read_text(encoding="utf-8"),
        exclude_anchor_links=True,
    )


def cells(notebook: Path) -> str:
    """Return a notebook's cells as HTML whose headings begin at the second level; the page's title is the first."""
    try:
        body, _ = _exporter().from_filename(str(notebook))
    except ValueError:  # papermill does not write it in one step
        return '<p class="absent">This notebook was broken off while it was written.</p>'
    return re.sub(r"<(/?)h([1-5])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + 1}", body)
