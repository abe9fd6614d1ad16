"""The site of a suite: what was found, a page for each question with its figures and tables, and
every executed notebook.

    build("demo", runs, tables, figures, analysis={"analysis": folder / "04_analysis.ipynb"})

writes ``reports/<suite>/index.html``, a page for each question and one of all runs, ``style.css``,
``results.csv``, ``runs.csv``, ``tables/*``, ``pages/*`` and the documentation, ``docs/*``. Nothing
on the pages asks for anything outside of that folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kdlib.errors import UserError
from kdsuite import places
from kdsuite.analysis import tables
from kdsuite.analysis.results import RUNS
from kdsuite.analysis.site import contents, documentation, listing, notebooks, summary
from kdsuite.analysis.site.answers import answers
from kdsuite.analysis.site.layout import HERE, Links, environment
from kdsuite.analysis.tables import Table
from kdsuite.runs import grid

__all__ = ["Figure", "build"]


@dataclass(frozen=True)
class Figure:
    """A figure of the page: ``files`` lie in the suite's folder, the first picture among them is
    shown, all are linked.

    ``missing`` is the reason why there is none; ``alt`` tells what the picture shows to those who
    do not see it.
    """

    name: str
    title: str
    caption: str
    alt: str = ""
    files: Sequence[Path] = ()
    missing: str = ""

    @property
    def reason(self) -> str:
        """Why there is no picture, as a sentence."""
        told = (
            (self.missing or "nobody has drawn it")
            .removeprefix("its runs are missing: ")
            .rstrip(".")
        )
        return f"Its runs are missing: {told}."


def build(
    suite: str,
    runs: Iterable[Any],
    made: Sequence[Table],
    figures: Sequence[Figure] = (),
    *,
    results: pd.DataFrame | None = None,
    analysis: Mapping[str, Path] | None = None,
    documents: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Path:
    """Write the site of a suite and return its ``index.html``.

    ``results`` is what :func:`kdsuite.analysis.tables.collect` says of ``runs``, read where not
    given. ``analysis`` maps names to executed notebooks that belong to the suite and to no run.
    ``documents`` maps further files in the folder, such as ``audit.csv``, to what they are.
    ``folder`` is ``reports/<suite>`` where not given. A notebook's page is written anew where the
    notebook is newer. Raises UserError where a figure's file is not in the folder.
    """
    runs, folder = list(runs), (folder or places.REPORTS / suite).absolute()
    results = tables.collect(runs) if results is None else results
    made = [tables.linked(table, runs, results) for table in made]
    states = listing.states(runs, results)
    files = {
        table.name: [
            path.relative_to(folder) for path in tables.write(table, folder / "tables").values()
        ]
        for table in made
    }
    with places.replacing(folder / "results.csv") as temporary:
        results.to_csv(temporary, index=False, float_format="%.6g")
    with places.replacing(folder / "runs.csv") as temporary:
        states[RUNS].to_csv(temporary, index=False, float_format="%.6g")
    pages = notebooks.write(states, analysis or {}, folder / "pages", suite)
    links = Links(pages, frozenset(states.anchor[states.shown]), _relative(figures, folder), files)
    parts = contents.pages(figures, made)
    executed = {
        name: f"pages/{notebooks.page_name(name)}"
        for name in analysis or {}
        if notebooks.page_name(name) in pages
    }
    told = answers(made)
    common = {
        "suite": suite,
        "title": grid.read_suite(suite).get("title", "") if suite in grid.suites() else "",
        "pages": parts,
        "links": links,
        "warnings": summary.warnings(states),
        "provenance": summary.provenance(states),
        "done": f"{(states.state == 'done').sum()} of {len(states)} runs are done",
    }
    render = environment().get_template
    written = {
        f"{page.name}.html": render("question.html").render(
            **common, page=page, answer=told.get(page.name, [])
        )
        for page in parts
    } | {
        "runs.html": render("runs.html").render(**common, groups=listing.groups(states)),
        "tutorial.html": render("tutorial.html").render(
            **common, lessons=notebooks.lessons(states, executed, pages)
        ),
        "index.html": render("index.html").render(
            **common,
            opening=summary.opening(made),
            seen=[figure for figure in figures if figure.name == "figure-known"],
            subject=summary.subject(made),
            headline=summary.headline(made, states, links),
            scale=summary.standard_error(made),
            answers=told,
            analysis=executed,
            unexecuted=[name for name in analysis or {} if name not in executed],
            documents=_documents(folder, documents or {}),
        ),
    }
    reference = (
        {}
        if (folder / "api" / "index.html").exists()
        else {"api/index.html": render("api.html").render(suite=suite)}
    )
    return _publish(folder, reference | documentation.pages(suite) | written)


def _relative(figures: Sequence[Figure], folder: Path) -> dict[str, list[Path]]:
    """Return the files of each figure as seen from the page."""
    found: dict[str, list[Path]] = {}
    for figure in figures:
        for path in figure.files:
            whole = folder / path  # an absolute path stays what it is
            if not whole.is_file() or not whole.is_relative_to(folder):
                raise UserError(
                    f"{figure.title} names {path}, which is no file in {folder}; write it there first."
                )
            found.setdefault(figure.name, []).append(whole.relative_to(folder))
    return found


def _documents(folder: Path, documents: Mapping[str, str]) -> dict[str, str]:
    """Return the files that there are to take away and what they are."""
    known = {
        "results.csv": "every result, one row a run, fold and metric",
        "runs.csv": "every run and its state",
        **documents,
    }
    return {name: told for name, told in known.items() if (folder / name).is_file()}


def _publish(folder: Path, written: Mapping[str, str]) -> Path:
    """Write style sheet, script and pages, the index last; return the index."""
    for name, text in {
        **{name: (HERE / name).read_text(encoding="utf-8") for name in ("style.css", "sort.js")},
        **written,
    }.items():
        with places.replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / "index.html"
