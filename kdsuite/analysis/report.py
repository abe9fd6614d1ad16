"""What a question notebook shows: tables and figures, which are files too.

A column of a table is given as its title (text), or as (title, format) or (title, format, group).
Formats are those of Python, such as ``.1f`` or ``+.2f``, and ``p`` for p values. The column
``low:high`` shows an interval; where the frame has ``<name>_sd``, it is shown behind ±.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import add
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kdsuite.analysis import paper
from kdsuite.analysis.paper import METRICS
from kdsuite.analysis.statistics.power import MIN_UNITS

HERE = Path(__file__).parent
TEMPLATES = HERE / "pages" / "templates"
BACKBONES = {"vgg": "VGG", "resnet": "ResNet", "seresnet": "SE-ResNet", "linear": "linear baseline"}
SETTINGS = {
    "nonseq": "non-sequential",
    "em": "sequential, EM",
    "agg": "sequential, AGG",
    "sequential": "sequential",
}
TARGETS = {
    "teacher": "of the teacher",
    "shuffled": "of another recording",
    "shuffled_in_class": "of another recording of the class",
    "random": "random vectors",
    "audio": "of a teacher that hears the same audio",
    "uniform": "label smoothing",
}
LABELS = {
    "backbone": BACKBONES,
    "setting": SETTINGS,
    "method": {"softlabel": "soft label"},
    "metric": METRICS,
    "targets": TARGETS,
}
NOTHING = "—"
MANY = 0.01  # conventions of the EER that differ by more than one point are named
PARTIAL, BELOW = "†", "‡"
MARKS = {
    PARTIAL: f"{PARTIAL} mean over the runs that are done; some are missing.",
    BELOW: f"{BELOW} below the linear baseline of the same folds (for error rates: above it).",
}
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
Column = str | tuple[str, ...]


@cache
def environment() -> Environment:
    """Return the templates of tables, figures and pages, which escape whatever comes from data."""
    made = Environment(
        loader=FileSystemLoader([TEMPLATES, HERE / "figures" / "templates"]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.globals["paper"] = paper
    made.filters |= {"number": number, "duration": duration}
    return made


def percent(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the frame with these fractions as percentages."""
    return frame.assign(**{name: 100 * frame[name] for name in names if name in frame})


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
    behind its cells, ``marks`` the signs that follow them. ``absent`` is the reason why there are no
    numbers.
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

    def text(self) -> pd.DataFrame:
        """Return what the cells read, columns as in ``columns``."""
        frame, shown = self.frame, {}
        for name, (_, form, _) in self.specs.items():
            first, _, last = name.partition(":")
            labels = LABELS.get(name, {})
            cells = [
                number(v, form) if form or pd.isna(v) else labels.get(v, str(v))
                for v in frame[first]
            ]
            for column, between, digits in (
                (last, " to ", form),
                (f"{name}_sd", " ± ", form.lstrip("+")),
            ):
                if column in frame:
                    ends = [f"{between}{number(v, digits)}" * pd.notna(v) for v in frame[column]]
                    cells = list(map(add, cells, ends))
            shown[name] = list(map(add, cells, self.marks.get(name, [""] * len(cells))))
        return pd.DataFrame(shown, index=range(len(frame)), dtype=object)

    @property
    def remarks(self) -> list[str]:
        """Notes for the foot of the table, those on its marks included."""
        used = "".join(sign for signs in self.marks.values() for sign in signs)
        return [*self.notes, *(meaning for mark, meaning in MARKS.items() if mark in used)]

    def _repr_html_(self):
        shown = self.text()
        cells = [
            zip(shown[name], self.links.get(name, [""] * len(shown)), strict=True) for name in shown
        ]
        first = shown.iloc[:, 0]  # equal heads are one cell over several rows
        runs = (first != first.shift()).cumsum() if self.heads > 1 else first.index
        spans = pd.Series(1, shown.index).groupby(runs).transform("size")
        return (
            environment()
            .get_template("table.html")
            .render(
                table=self,
                titles=list(self.specs.values()),
                rows=list(zip(*cells)),
                spans=spans.mask(pd.Series(runs).duplicated(), 0).to_list(),
                long=[shown[name].str.len().max() > 26 for name in shown],
            )
        )

    def to_tex(self) -> str:
        """Return the table as a ``table`` environment; it needs the package booktabs."""
        shown, specs = self.text(), list(self.specs.values())
        titles = [(group, title) for title, _, group in specs]
        grouped = any(group for group, _ in titles)
        shown.columns = pd.MultiIndex.from_tuples(titles) if grouped else [t for _, t in titles]
        style = shown.style.hide(axis="index").format(_tex).format_index(_tex, axis=1)
        body = style.to_latex(
            hrules=True,
            position="htbp",
            position_float="centering",
            multicol_align="c",
            label=f"tab:{self.name}",
            caption=_tex(f"{self.caption} {'; '.join(self.facts)}".strip()),
            column_format="".join("r" if form else "l" for _, form, _ in specs),
        )
        absent = self.absent or "; ".join(self.missing[:20])
        remarks = [f"Missing: {absent}"] * bool(absent) + self.remarks
        foot = "".join(rf"\par\smallskip{{\footnotesize {_tex(it)}}}" + "\n" for it in remarks)
        return body.replace(r"\end{table}", foot + r"\end{table}")


def _tex(text):
    return text.translate(TEX)


@dataclass(frozen=True, repr=False)
class Figure:
    """A figure with its ``files``, of which the first is shown; ``alt`` describes it to those who do
    not see it. ``missing`` is the reason why there is none."""

    name: str
    title: str
    caption: str
    alt: str = ""
    files: Sequence[Path] = ()
    missing: str = ""

    def _repr_html_(self):
        # embedded, so that JupyterLab shows it as well
        content = base64.b64encode(self.files[0].read_bytes()).decode() if self.files else ""
        return environment().get_template("figure.html").render(figure=self, content=content)


def spoken(rows: pd.DataFrame) -> str:
    """Return gains with their intervals in words, for those who do not see the picture; ``rows``
    have a ``label``."""
    bounds = [
        "no interval" if pd.isna(low) else f"{number(low, '+.1f')} to {number(high, '+.1f')}"
        for low, high in zip(100 * rows.low, 100 * rows.high)
    ]
    gains = [f"{label}: {points(100 * gain)}" for label, gain in zip(rows.label, rows.gain)]
    return "Gains with intervals. " + "; ".join(map(", ".join, zip(gains, bounds))) + "."


def place(rows: pd.DataFrame, *without: str) -> dict[str, Column]:
    """Return the columns that name a student, the overrides where there are any."""
    names = ["dataset", "metric", "backbone", "setting", "method"]
    columns = {name: name for name in names} | {"alpha": ("α", ".2f")}
    if "variant" in rows and (rows.variant != "").any():
        columns["variant"] = "override"
    return {name: column for name, column in columns.items() if name not in without}


def reasons(rows: pd.DataFrame) -> list[str]:
    """Return why intervals or p values of these comparisons are missing, and which need care."""
    if rows.empty:
        return []
    few = rows[(rows.speakers < MIN_UNITS) & rows.low.notna()]
    detectable = " and nothing detectable" if "detectable" in rows else ""
    sentences = {
        f"No p{detectable} (—) with fewer than {MIN_UNITS} trainings: a fold of a seed is one.": (
            rows.trainings < MIN_UNITS
        ).any(),
        "No interval (—) with fewer than three folds, or three seeds of one split: how another "
        "training would differ is not known then.": rows.low.isna().any(),
        f"With fewer than six test speakers ({', '.join(few.dataset.unique())}) an interval may be "
        "too short: it assumes normal differences between speakers.": len(few),
    }
    of = rows[rows.metric == "eer"].groupby("dataset").conventions.max()
    trials = {few_trials(name, difference): difference > MANY for name, difference in of.items()}
    return [sentence for sentence, holds in (sentences | trials).items() if holds]


def few_trials(dataset: str, difference: float) -> str:
    """Return a note on conventions of the EER that differ by this fraction."""
    return (
        f"{dataset} has few trials: no threshold makes both error rates equal, and the three "
        f"conventions of the EER differ by up to {number(100 * difference, '.1f')} points for one "
        "student; the one shown is interpolated."
    )
