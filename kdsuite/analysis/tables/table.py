"""A table as a paper prints it: numbers with their digits, notes, and which run stands behind which
number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kdsuite import places
from kdsuite.analysis.results import LINEAR

# how the paper spells the axes
BACKBONES = {"vgg": "VGG", "resnet": "ResNet", "seresnet": "SE-ResNet"}
SETTINGS = {
    "nonseq": "non-sequential",
    "em": "sequential, EM",
    "agg": "sequential, AGG",
    "sequential": "sequential",
}

ABSENT = "—"
PARTIAL = "†"
BELOW = "‡"
TEX = str.maketrans(
    {
        **{sign: "\\" + sign for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "[": "{[}",  # at the beginning of a row it would be an argument
        "*": "{*}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "−": "$-$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "→": r"$\rightarrow$",
        "α": r"$\alpha$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "—": "---",
        "–": "--",
        "’": "'",
        "\u00a0": "~",
        "·": r"$\cdot$",
    }
)


@dataclass(frozen=True)
class Column:
    """A column of a table: where its values are, and how they read.

    ``digits`` behind the point (None: text); ``spread`` names the column of the standard deviation
    shown behind ±; ``header`` is ``row`` or ``rowgroup`` where the cells head their rows; an
    ``interval`` is text set like a number; ``labels`` replaces values by names.
    """

    name: str
    title: str
    group: str = ""
    digits: int | None = None
    spread: str = ""
    signed: bool = False
    header: str = ""
    interval: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


# what names the rows of a table with one row a network
NETWORK = (
    Column(
        "backbone", "backbone", header="rowgroup", labels={**BACKBONES, LINEAR: "linear baseline"}
    ),
    Column("setting", "setting", header="row", labels=SETTINGS),
)


@dataclass(frozen=True)
class Table:
    """A table: ``frame`` has plain numbers, ``columns`` say how they are shown.

    ``links`` maps (row, column name) to the runs behind a number, ``partial`` are those numbers of
    which some runs are missing, ``below`` those of networks that are worse than the linear
    baseline. ``absent`` is the reason why none of our numbers are there, ``missing`` names what is
    missing for some.
    """

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    frame: pd.DataFrame
    facts: Sequence[str] = ()
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()
    absent: str = ""
    links: Mapping[tuple[int, str], Sequence[Any]] = field(default_factory=dict)
    partial: frozenset[tuple[int, str]] = frozenset()
    below: frozenset[tuple[int, str]] = frozenset()

    @property
    def remarks(self) -> list[str]:
        """Notes for the foot of the table."""
        partial = (
            [f"{PARTIAL} mean over the runs that are done; some are missing."]
            if self.partial
            else []
        )
        below = (
            [f"{BELOW} below the linear baseline of the same folds (for error rates: above it)."]
            if self.below
            else []
        )
        return [*self.notes, *partial, *below]

    def text(self, row: int, column: Column) -> str:
        """Return what a cell reads: a number with its digits and spread, a name, or an em dash
        where there is no value."""
        value = self.frame[column.name].iloc[row]
        if pd.isna(value):
            return ABSENT
        if column.digits is None:
            return column.labels.get(value, str(value))
        spread = self.frame[column.spread].iloc[row] if column.spread else None
        tail = "" if spread is None or pd.isna(spread) else f" ± {number(spread, column.digits)}"
        marks = [
            mark
            for mark, of in ((PARTIAL, self.partial), (BELOW, self.below))
            if (row, column.name) in of
        ]
        return number(value, column.digits, column.signed) + tail + "".join(marks)

    def printed(self) -> pd.DataFrame:
        """Return the whole table as text, columns (group, title)."""
        cells = [
            [self.text(row, column) for column in self.columns] for row in range(len(self.frame))
        ]
        return pd.DataFrame(
            cells,
            columns=pd.MultiIndex.from_tuples(
                [(column.group, column.title) for column in self.columns]
            ),
        )


def number(value: float, digits: int, signed: bool = False) -> str:
    """Return a number with thousands apart and a true minus sign; nothing rounds to minus zero."""
    return f"{value:{'+' if signed else ''}z,.{digits}f}".replace("-", "−")


def tex(text: str) -> str:
    """Return text that TeX prints as it is."""
    return text.translate(TEX)


def write(table: Table, folder: Path) -> dict[str, Path]:
    """Write ``<name>.csv`` (plain numbers) and ``<name>.tex`` (booktabs) and return them by their
    ending."""
    files = {ending: folder / f"{table.name}.{ending}" for ending in ("csv", "tex")}
    with places.replacing(files["csv"]) as temporary:
        table.frame.round(4).to_csv(temporary, index=False)
    with places.replacing(files["tex"]) as temporary:
        temporary.write_text(to_tex(table), encoding="utf-8")
    return files


def to_tex(table: Table) -> str:
    """Return the table as a ``table`` environment; it needs the package booktabs."""
    printed = table.printed()
    if not any(column.group for column in table.columns):
        printed.columns = printed.columns.droplevel(0)
    style = printed.style.hide(axis="index").format(tex).format_index(tex, axis=1)
    body = style.to_latex(
        hrules=True,
        position="htbp",
        position_float="centering",
        multicol_align="c",
        label=f"tab:{table.name}",
        caption=tex(f"{table.caption} {'; '.join(table.facts)}".strip()),
        column_format="".join(
            "r" if column.interval or column.digits is not None else "l" for column in table.columns
        ),
    )
    more = f" and {len(table.missing) - 20} more" * (len(table.missing) > 20)
    remarks = [
        *(
            [f"Missing: {table.absent}"]
            if table.absent
            else [f"Missing: {'; '.join(table.missing[:20])}{more}."]
            if table.missing
            else []
        ),
        *table.remarks,
    ]
    foot = "".join(rf"\par\smallskip{{\footnotesize {tex(remark)}}}" + "\n" for remark in remarks)
    return re.sub(r"\\end\{table\}\s*$", lambda end: foot + end.group(), body)
