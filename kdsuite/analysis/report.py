"""What a question notebook shows: tables and figures, which are files too.

A column of a table is given as its title (text), or as (title, format) or (title, format, group).
Formats are those of Python, such as ``.1f`` or ``+.2f``, and ``p`` for p values. The column
``low:high`` shows an interval; where the frame has ``<name>_sd``, it is shown behind ±.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, repeat
from operator import add
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from kdsuite.analysis import paper
from kdsuite.analysis.statistics.power import MIN_UNITS

HERE = Path(__file__).parent
TEMPLATES = HERE / "pages" / "templates"
NAMES = yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))
LABELS, MARKS = NAMES["values"], NAMES["marks"]
METRICS, TARGETS = LABELS["metric"], LABELS["targets"]
PARTIAL, BELOW = MARKS
NOTHING = "—"
MANY = 0.01  # conventions of the EER that differ by more than one point are named
Column = str | Sequence[str]


def render(template: str, **content: Any) -> str:
    """Return a table, figure, page or sentence as its template has it."""
    return ENVIRONMENT.get_template(template).render(content)


def _tex(text):
    return text.translate(str.maketrans(NAMES["tex"]))


def percent(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the frame with these fractions as percentages."""
    return frame.assign(**{name: 100 * frame[name] for name in names if name in frame})


def label(column: str, value: Any) -> Any:
    """Return what tables and pages call a value of a column: its name in ``labels.yaml``, or the
    value itself."""
    return LABELS.get(column, {}).get(value, value)


def number(value: float, form: str) -> str:
    """Return a number in a format, with a true minus sign; nothing rounds to minus zero."""
    if pd.isna(value):
        return NOTHING
    if form == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    sign, rest = ("+", form[1:]) if form.startswith("+") else ("", form)
    return f"{value:{sign}z,{rest}}".replace("-", "−")


def duration(seconds: float) -> str:
    """Return a time as people say it: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if pd.isna(seconds):
        return NOTHING
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def points(value: float) -> str:
    """Return a difference of percentages in words."""
    return f"{number(value, '+.1f')} points"


@dataclass(frozen=True, kw_only=True, repr=False)
class Table:
    """A table: ``frame`` has plain numbers, ``columns`` say how they are shown.

    The first ``heads`` columns, one or two, head their rows. ``links`` has by column the addresses
    behind its cells, ``marks`` the signs that follow them. ``absent`` is the reason why there are
    no numbers.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    heads: int = 1
    notes: Sequence[str] = ()
    facts: Sequence[str] = ()
    missing: Sequence[str] = ()
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    absent: str = ""

    @property
    def specs(self) -> dict[str, tuple[str, str, str]]:
        """Title, format and group of each column."""
        return {
            name: (spec, "", "") if isinstance(spec, str) else (*spec, "")[:3]
            for name, spec in self.columns.items()
        }

    @property
    def remarks(self) -> list[str]:
        """Notes for the foot of the table, those on its marks included."""
        used = "".join(chain(*self.marks.values()))
        return [*self.notes, *(MARKS[mark] for mark in MARKS if mark in used)]

    def text(self) -> pd.DataFrame:
        """Return what the cells read, columns as in ``columns``."""
        rows = self.frame.to_dict("records")
        shown = {
            name: map(
                add,
                [_cell(row, name, form) for row in rows],
                self.marks.get(name, repeat("")),
            )
            for name, (_, form, _) in self.specs.items()
        }
        return pd.DataFrame(shown, index=range(len(rows)), dtype=object)

    def _render(self, template):
        shown = self.text()
        cells = [zip(shown[name], self.links.get(name, repeat(""))) for name in shown]
        # equal heads are one cell over several rows
        by_head = groupby(zip(*cells), lambda row: row[0][0] if self.heads > 1 else row)
        blocks = [list(rows) for _, rows in by_head]
        return render(template, table=self, titles=list(self.specs.values()), blocks=blocks)

    def _repr_html_(self):
        return self._render("table.html")

    def to_tex(self) -> str:
        """Return the table as a ``table`` environment; it needs the package booktabs."""
        return self._render("table.tex")


def _cell(row, name, form):
    """Return what a cell reads: its number or name, the end of an interval, a spread."""
    first, _, last = name.partition(":")
    value = row[first]
    text = number(value, form) if form or pd.isna(value) else str(label(name, value))
    for other, between, digits in (
        (last, " to ", form),
        (f"{name}_sd", " ± ", form.lstrip("+")),
    ):
        if pd.notna(row.get(other)):
            text += between + number(row[other], digits)
    return text


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure with its ``files``, of which the first is shown; ``alt`` describes it to those who
    do not see it. ``missing`` is the reason why there is none."""

    name: str
    title: str
    caption: str
    alt: str = ""
    files: Sequence[Path] = ()
    missing: str = ""

    def _repr_html_(self):
        # embedded, so that JupyterLab shows it as well
        content = base64.b64encode(self.files[0].read_bytes()).decode() if self.files else ""
        return render("figure.html", figure=self, content=content)


def spoken(rows: pd.DataFrame) -> str:
    """Return gains with their intervals in words, for those who do not see the picture; ``rows``
    have a ``label``."""
    return render("spoken.txt", rows=percent(rows, "gain", "low", "high"))


def place(rows: pd.DataFrame, *without: str) -> dict[str, Column]:
    """Return the columns that name a student, the overrides where there are any."""
    unused = without if any(rows.get("variant", ())) else (*without, "variant")
    return {name: column for name, column in NAMES["student"].items() if name not in unused}


def reasons(rows: pd.DataFrame) -> list[str]:
    """Return why intervals or p values of these comparisons are missing, and which need care."""
    return render("reasons.txt", rows=rows).splitlines()


def few_trials(dataset: str, difference: float) -> str:
    """Return a note on conventions of the EER that differ by this fraction."""
    return (
        f"{dataset} has few trials: no threshold makes both error rates equal, and the three "
        f"conventions of the EER differ by up to {number(100 * difference, '.1f')} points for one "
        "student; the one shown is interpolated."
    )


# the templates of tables, figures and pages, which escape whatever comes from data
ENVIRONMENT = Environment(
    loader=FileSystemLoader([TEMPLATES, HERE / "figures" / "templates"]),
    autoescape=select_autoescape(disabled_extensions=["tex", "txt", "md"], default=True),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
ENVIRONMENT.globals |= {
    "paper": paper, "METRICS": METRICS, "MIN_UNITS": MIN_UNITS, "MANY": MANY, "label": label,
    "few_trials": few_trials,
}  # fmt: skip
ENVIRONMENT.filters |= {"number": number, "duration": duration, "tex": _tex}
