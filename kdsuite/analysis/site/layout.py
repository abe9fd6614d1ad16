"""How a page is put together: the templates, the way from a name to a link, and a table as rows of
cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kdsuite.analysis import paper
from kdsuite.analysis.site.listing import anchor, page_of
from kdsuite.analysis.tables import Column, Table

HERE = Path(__file__).parent
PICTURES = (".svg", ".png", ".jpg")


@dataclass(frozen=True)
class Cell:
    """A cell of an HTML table; ``scope`` makes it a header, ``rows`` and ``columns`` are its spans."""

    text: str
    href: str = ""
    scope: str = ""
    rows: int = 1
    columns: int = 1
    numeric: bool = False


@dataclass(frozen=True)
class Links:
    """Where the page's links lead: ``pages`` and anchors of runs ``listed`` that exist, files of
    ``figures`` and ``tables`` by name."""

    pages: frozenset[str]
    listed: frozenset[str]
    figures: Mapping[str, Sequence[Path]]
    tables: Mapping[str, Sequence[Path]]

    def runs(self, runs: Sequence[Any]) -> str:
        """Return the way to what stands behind a number: the run's notebook; of several runs the
        first one's row on the page of runs."""
        places = [(run.settings.dataset, run.stage, run.folder.name) for run in runs]
        if len(places) == 1 and (name := page_of(*places[0])) in self.pages:
            return f"pages/{quote(name)}"
        marks = [mark for mark in (anchor(*place) for place in places) if mark in self.listed]
        return f"runs.html#{marks[0]}" if marks else "runs.html" if places else ""

    def picture(self, name: str) -> str:
        """Return the picture of a figure, nothing where there is none."""
        shown = [path for path in self.figures.get(name, ()) if path.suffix in PICTURES]
        return (
            quote(min(shown, key=lambda path: PICTURES.index(path.suffix)).as_posix())
            if shown
            else ""
        )

    def downloads(self, name: str) -> dict[str, str]:
        """Return the files of a figure or table by what they are called, such as CSV."""
        return {
            path.suffix[1:].upper() if path.suffix != ".tex" else "TeX": quote(path.as_posix())
            for path in (*self.figures.get(name, ()), *self.tables.get(name, ()))
        }


def head(table: Table) -> list[list[Cell]]:
    """Return the header rows: groups over their columns, if there are any, and the columns' titles."""
    titles = [_title(column) for column in table.columns]
    if not any(column.group for column in table.columns):
        return [titles]
    upper = []
    for group, columns in groupby(table.columns, key=lambda column: column.group):
        members = list(columns)
        upper += (
            [Cell(group, scope="colgroup", columns=len(members))]
            if group
            else [Cell(column.title, scope="col", rows=2) for column in members]
        )
    return [upper, [title for title, column in zip(titles, table.columns) if column.group]]


def _title(column: Column) -> Cell:
    return Cell(column.title, scope="col", numeric=column.interval or column.digits is not None)


def body(table: Table, links: Links) -> list[list[Cell]]:
    """Return the rows; equal heads of a group of rows become one cell over them."""
    rows = []
    for place in range(len(table.frame)):
        row = [_cell(table, place, column, links) for column in table.columns]
        rows.append([cell for cell in row if cell.rows])
    return rows


def _cell(table: Table, place: int, column: Column, links: Links) -> Cell:
    text = table.text(place, column)
    if column.header == "rowgroup":
        return Cell(text, scope="rowgroup", rows=_span(table.frame[column.name].tolist(), place))
    return Cell(
        text,
        links.runs(table.links.get((place, column.name), ())),
        column.header,
        numeric=column.interval or column.digits is not None,
    )


def _span(values: list[Any], place: int) -> int:
    """Return over how many equal values a cell stands, 0 where the cell above covers it."""
    if place and values[place - 1] == values[place]:
        return 0
    return next(
        (further for further, value in enumerate(values[place:]) if value != values[place]),
        len(values) - place,
    )


def printed_only(table: Table) -> Table:
    """Return a comparison without our columns, for a suite that has nothing to put there."""
    kept = [column for column in table.columns if column.group != "this suite"]
    return replace(table, columns=kept, caption="As printed.", facts=[])


def environment() -> Environment:
    """Return the templates; whatever comes from data is escaped."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals.update(head=head, body=body, printed_only=printed_only, paper=paper)
    return made
