"""A page for each executed notebook: text and outputs in view, code folded away, nothing fetched
from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from kdsuite import places
from kdsuite.analysis.site.layout import HERE, environment
from kdsuite.analysis.site.listing import plain
from kdsuite.runs import grid

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


@dataclass(frozen=True)
class Lesson:
    """A notebook in the tutorial: its ``name``, its introduction as HTML, its page, and (title,
    page) of an example that was executed."""

    name: str
    text: str
    page: str
    example: tuple[str, str] | None


def lessons(
    states: pd.DataFrame, executed: Mapping[str, str], pages: frozenset[str]
) -> list[Lesson]:
    """Return the suite's notebooks in order, each with the run nearest to α = 0.5 as example;
    ``executed`` has those of no run."""
    stages, found = {name: stage for stage, name in grid.STAGES.items()}, []
    for notebook in _sources():
        name = notebook.stem
        examples = {
            name: (f"{name.capitalize()} notebook", page) for name, page in executed.items()
        }
        run = states[
            (states.stage == stages.get(name)) & (states.state == "done") & states.page.isin(pages)
        ]
        if len(run):
            nearest = run.loc[run.run.map(lambda each: abs(each.settings.alpha - 0.5)).idxmin()]
            examples[name] = (
                nearest.title if name == "01_data" else f"{nearest.title}, {nearest.dataset}",
                f"pages/{nearest.page}",
            )
        found.append(
            Lesson(
                name,
                cells(notebook, 1),
                f"pages/{page_name(name)}",
                examples.get(name) or examples.get(name.split("_")[-1]),
            )
        )
    return found


def _sources() -> list[Path]:
    return sorted((places.ROOT / "notebooks").glob("*.ipynb"))


def page_name(name: str) -> str:
    """Return the file name of the page of a notebook that belongs to no run."""
    return plain(name) + ".html"


def write(
    states: pd.DataFrame, analysis: Mapping[str, Path], folder: Path, suite: str
) -> frozenset[str]:
    """Write the pages of the notebooks there are, as they come and executed by the runs that are
    shown, remove those of others, return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = set()
    for run in states[states.shown].to_dict("records"):
        written |= _page(
            run["folder"] / "notebook.ipynb", folder / run["page"], suite, run["title"], run=run
        )
    for name, notebook in analysis.items():
        written |= _page(
            Path(notebook), folder / page_name(name), suite, f"{name.capitalize()} notebook"
        )
    for notebook in _sources():
        written |= _page(
            notebook,
            folder / page_name(notebook.stem),
            suite,
            f"{notebook.name}",
            kind="Notebook, not executed",
        )
    for stale in folder.glob("*.html"):
        if stale.name not in written:
            stale.unlink()
    return frozenset(written)


def _page(
    notebook: Path,
    page: Path,
    suite: str,
    title: str,
    run: Mapping[str, Any] | None = None,
    kind: str = "Executed notebook",
) -> set[str]:
    """Write one page where it is older than what it shows; return its name, nothing where there is
    no notebook."""
    if not notebook.is_file():
        return set()
    sources = [
        notebook,
        notebook.with_name("result.json"),
        *HERE.glob("templates/*"),
        *HERE.glob("*.py"),
    ]
    if not page.exists() or page.stat().st_mtime <= max(
        source.stat().st_mtime for source in sources if source.exists()
    ):
        text = (
            environment()
            .get_template("notebook.html")
            .render(suite=suite, title=title, run=run, kind=kind, cells=cells(notebook))
        )
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


def cells(notebook: Path, first: int | None = None) -> str:
    """Return a notebook's (``first``) cells as HTML whose headings begin at the second level; the
    page's title is the first."""
    try:
        content = nbformat.read(notebook, as_version=4)
        content.cells = content.cells[:first]
        body = html(content)
    except ValueError:  # papermill does not write it in one step
        return '<p class="absent">This notebook was broken off while it was written.</p>'
    return re.sub(r"<(/?)h([1-5])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + 1}", body)


def html(content: nbformat.NotebookNode) -> str:
    """Return all cells of a notebook as HTML."""
    body, _ = _exporter().from_notebook_node(content)
    # code that is wider than the page scrolls by keyboard too; the empty corner of a data frame
    # heads nothing
    return body.replace("<pre>", '<pre tabindex="0">').replace("<th></th>", "<td></td>")
