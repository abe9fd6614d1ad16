"""Tables 4 to 7: what the paper prints beside what the runs of a suite found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from kdsuite.analysis import networks
from kdsuite.analysis.results import eer_conventions
from kdsuite.analysis.tables.table import NETWORK, Column, Table, number
from kdsuite.settings import Settings

TASKS = {
    4: ("Speaker identification on VoxCeleb1", "accuracy in percent"),
    5: ("Speaker verification on VoxCeleb1", "equal error rate in percent"),
    6: (
        "Emotion recognition on RAVDESS",
        "unweighted accuracy (mean recall of the classes) in percent",
    ),
    7: (
        "Emotion recognition on IEMOCAP",
        "unweighted accuracy (mean recall of the classes) in percent",
    ),
}
PAPER_RECORDINGS = {4: "21,819", 5: "21,819", 6: "2,452", 7: "about 6 thousand"}
# title, digits (None: those of the metric) and sign of the columns
SHOWN: dict[str, tuple[str, int | None, bool]] = {
    "teacher": ("teacher", None, False),
    "undistilled": ("undistilled", None, False),
    "distilled": ("distilled", None, False),
    "relative_change": ("relative change,\u00a0%", 2, True),
    "unlabelled_third": ("third column", 2, True),
    "unlabelled_fourth": ("last column", 0, False),
}
MANY = 0.01  # conventions of the EER that differ by more than one point are named

# what a reader calls a size that may not be the paper's
SIZES = {"width": "student width", "teacher_width": "teacher width", "embedding": "embedding"}


def sizes(settings: Settings) -> dict[str, tuple[float, float]]:
    """Return our and the paper's epochs, widths and embedding size by what a reader calls them."""
    paper = Settings()
    named = {
        title: (getattr(settings.model, name), getattr(paper.model, name))
        for name, title in SIZES.items()
    }
    return {"epochs": (settings.training.epochs, paper.training.epochs), **named}


def not_comparable(settings: Settings) -> str:
    """Return why values cannot be compared with the paper's, or nothing."""
    reasons = {
        "the corpus is synthetic": settings.corpus.synthetic,
        "networks and training have other sizes than the paper’s": any(
            ours != paper for ours, paper in sizes(settings).values()
        ),
    }
    return " and ".join(reason for reason, holds in reasons.items() if holds)


def comparisons(runs: Iterable[Any], results: pd.DataFrame, alpha: float = 0.5) -> list[Table]:
    """Return Tables 4 to 7, the distilled students being those of the embedding method at
    ``alpha``."""
    runs = list(runs)
    return [
        _shown(task, made, results, alpha)
        for task in TASKS
        for made in networks.tables(task, runs, results, alpha)
    ]


def _shown(task: int, made: networks.NetworkTable, results: pd.DataFrame, alpha: float) -> Table:
    rows, ours = made.frame, list(made.runs)
    printed = [name for name in SHOWN if f"paper_{name}" in rows]
    subject, unit = TASKS[task]
    further = "-" in made.name
    interval = [
        None if pd.isna(low) else f"{number(low, 1)}–{number(high, 1)}"
        for low, high in zip(rows.interval_low, rows.interval_high)
    ]
    place = rows.columns.get_loc("interval_low")
    rows = rows.drop(columns=["interval_low", "interval_high"])
    rows.insert(place, "interval", interval)
    links = {
        (row, name): of[role]
        for row, of in made.runs.iterrows()
        for role, name in [*((role, role) for role in ours), ("distilled", "relative_change")]
        if isinstance(of[role], list)
    }
    return Table(
        name=made.name,
        title=f"Table {task}" + (f", {made.dataset}" if further else ""),
        caption=f"{subject}: {unit}. Distilled: the paper’s method at α\u00a0=\u00a0{alpha:g}.",
        columns=_columns(printed, ours, made.metric),
        frame=rows,
        facts=_facts(made.settings, task, rows) if made.settings else [],
        notes=_notes(made, rows, results),
        missing=made.missing,
        absent=made.absent,
        links=links,
        partial=frozenset(
            (row, role) for row, of in made.partial[:-1].iterrows() for role in ours if of[role]
        ),
        below=frozenset(
            (row, role)
            for row in rows.index
            for role in ours
            if rows[f"{role}_below_linear"][row] is True
        ),
    )


def _columns(printed: list[str], ours: list[str], metric: str) -> list[Column]:
    usual = 2 if metric == "eer" else 1

    def column(name: str, prefix: str, group: str, spread: str = "") -> Column:
        title, digits, signed = SHOWN[name]
        return Column(
            prefix + name, title, group, usual if digits is None else digits, spread, signed
        )

    return [
        *NETWORK,
        *(column(name, "paper_", "paper") for name in printed),
        *(column(name, "", "this suite", f"{name}_sd") for name in ours),
        Column("interval", "distilled, 95 %", "this suite"),
        column("relative_change", "", "this suite"),
        Column("difference", "distilled, ours − paper’s", "this suite", usual, signed=True),
    ]


def _facts(settings: Settings, task: int, rows: pd.DataFrame) -> list[str]:
    """Return what the comparison rests on: dataset, recordings, epochs, widths."""
    synthetic = " (synthetic corpus)" if settings.corpus.synthetic else ""
    told = [f"dataset {settings.dataset}{synthetic}"]
    if rows.recordings.notna().any():
        folds = f"{number(rows.folds.max(), 0)} fold{'s' if rows.folds.max() > 1 else ''}"
        told.append(
            f"{number(rows.recordings.max(), 0)} recordings tested in {folds} (paper: {PAPER_RECORDINGS[task]})"
        )
    of = sizes(settings).items()
    return told + [
        f"{name} {ours:g}" + (f" (paper: {paper:g})" if ours != paper else "")
        for name, (ours, paper) in of
    ]


def _scored(dataset: str, results: pd.DataFrame) -> float:
    """Return the smallest share of the verification trials that a run could score."""
    shares = results.value[(results.metric == "trials_scored") & (results.dataset == dataset)]
    return shares.min() if len(shares) else 1.0


def conventions(difference: float, dataset: str) -> str:
    """Return a note where the conventions of the EER differ by more than a point, else nothing;
    ``difference`` is a fraction."""
    if not difference > MANY:
        return ""
    return (
        f"{dataset} has few trials: no threshold makes both error rates equal, and the three conventions of the EER differ by up to "
        f"{number(100 * difference, 1)} points for one student; the one shown is interpolated."
    )


def _notes(made: networks.NetworkTable, rows: pd.DataFrame, results: pd.DataFrame) -> list[str]:
    notes = (
        ["± is the standard deviation over folds."] if made.dataset and rows.folds.max() > 1 else []
    )
    notes += (
        [
            "Intervals are over folds, or over speakers and trainings where folds are fewer than three."
        ]
        if rows.interval.notna().any()
        else []
    )
    if made.dataset and rows.distilled.notna().any() and rows.interval.isna().all():
        notes.append(
            "There are no intervals with fewer than three folds, or three seeds of one split."
        )
    if made.settings and (why := not_comparable(made.settings)):
        notes.insert(0, f"Compare the shape, not the values: {why}.")
    if made.other:
        notes.append(
            f"{made.other} runs with other corpus, media, model or training parameters are left out."
        )
    if made.metric == "eer":
        notes.append("A positive change is a lower error rate.")
        notes += (
            [few]
            if made.dataset
            and (few := conventions(eer_conventions(results, made.dataset), made.dataset))
            else []
        )
        if (scored := _scored(made.dataset, results)) < 1:
            notes.append(
                f"Only {100 * scored:.1f} % of the trials could be scored, for recordings are missing."
            )
    if "paper_unlabelled_third" in rows:
        notes.append(
            "The headers of the paper’s last two columns are lost in our copy; the numbers are shown as printed."
        )
    return notes
