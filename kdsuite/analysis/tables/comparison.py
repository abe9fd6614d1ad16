"""Tables 4 to 7: what the paper prints beside what the runs of a suite found."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from kdsuite.analysis.networks import (
    Cell,
    Study,
    cell,
    linear,
    places,
    studies,
    summarise,
    values_of,
    worse,
)
from kdsuite.analysis.paper import published
from kdsuite.analysis.results import answers, eer_conventions
from kdsuite.analysis.statistics import interval, trial_interval
from kdsuite.analysis.tables.table import (
    BACKBONES,
    LINEAR,
    NETWORK,
    SETTINGS,
    Column,
    Table,
    number,
)
from kdsuite.settings import Settings

METRICS = {"identification_accuracy": "accuracy", "eer": "eer", "unweighted_accuracy": "uar"}
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
# what a warning calls a parameter that is not the paper's
SIZES = {"width": "student width", "teacher_width": "teacher width", "embedding": "embedding"}


def comparisons(runs: Iterable[Any], results: pd.DataFrame, alpha: float = 0.5) -> list[Table]:
    """Return Tables 4 to 7, the distilled students being those of the embedding method at
    ``alpha``.

    ``results`` is what :func:`kdsuite.analysis.tables.collect` says of ``runs``. Each further
    dataset that answers a table makes one more, ``table6-<dataset>``.
    """
    runs, printed, tables = list(runs), published(), []
    for task in TASKS:
        paper = (
            printed[printed.table == task].dropna(axis="columns", how="all").reset_index(drop=True)
        )
        for further, study in enumerate(studies(runs, paper.corpus[0]) or [None]):
            tables.append(compare(task, paper, study, results, alpha, bool(further)))
    return tables


def compare(
    task: int,
    paper: pd.DataFrame,
    study: Study | None,
    results: pd.DataFrame,
    alpha: float,
    further: bool = False,
) -> Table:
    """Return one table; ``paper`` are its printed rows, ``study`` None where no dataset of the
    suite answers it."""
    metric = METRICS[paper.metric[0]]
    ours = (
        ["teacher", "undistilled", "distilled"] if metric != "eer" else ["undistilled", "distilled"]
    )
    known = study or Study("", Settings(), {})
    cells, baseline = (
        _cells(known, paper, results, metric, alpha, ours),
        linear(known, results, metric, ours),
    )
    every = [*cells, baseline]
    rows = pd.DataFrame(
        [
            {**summarise(row, metric), "interval": _interval(row["distilled"], metric)}
            for row in every
        ]
    )
    compared = {
        place: {
            name: worse(of, baseline["teacher" if name == "teacher" else "undistilled"], metric)
            for name, of in row.items()
        }
        for place, row in enumerate(cells)
    }
    rows["difference"] = rows.distilled - paper.distilled if "distilled" in paper else math.nan
    printed = [name for name in SHOWN if name in paper]
    subject, unit = TASKS[task]
    absent = _absent(study, paper.corpus[0], cells, metric)
    names = pd.DataFrame(
        [
            *paper[["backbone", "setting"]].to_numpy(),
            [LINEAR, "cosine" if metric == "eer" else "logistic regression"],
        ]
    )
    return Table(
        name=f"table{task}" + (f"-{study.dataset}" if further else ""),
        title=f"Table {task}" + (f", {study.dataset}" if further else ""),
        caption=f"{subject}: {unit}. Distilled: the paper’s method at α\u00a0=\u00a0{alpha:g}.",
        columns=_columns(printed, ours, metric),
        frame=pd.concat(
            [
                names.set_axis(["backbone", "setting"], axis="columns"),
                paper[printed].add_prefix("paper_"),
                rows,
                pd.DataFrame.from_dict(compared, orient="index").add_suffix("_below_linear"),
            ],
            axis="columns",
        ),
        facts=_facts(study, task, rows) if study else [],
        notes=_notes(study, paper, rows, metric, results),
        missing=[] if absent else _missing(study, paper, cells),
        absent=absent,
        links=_links(every),
        partial=frozenset(
            (place, name)
            for place, row in enumerate(cells)
            for name, of in row.items()
            if of.undone and of.found
        ),
        below=frozenset(
            (place, name) for place, row in compared.items() for name, found in row.items() if found
        ),
    )


def _scored(study: Study | None, results: pd.DataFrame) -> float:
    """Return the smallest share of the verification trials that a run could score."""
    shares = (
        results.value[(results.metric == "trials_scored") & (results.dataset == study.dataset)]
        if study
        else pd.Series(dtype=float)
    )
    return shares.min() if len(shares) else 1.0


def _cells(
    study: Study,
    paper: pd.DataFrame,
    results: pd.DataFrame,
    metric: str,
    alpha: float,
    ours: list[str],
) -> list[dict[str, Cell]]:
    values = values_of(results, study.dataset, metric)
    return [
        {
            name: cell(study, values, where)
            for name, where in places(row.backbone, row.setting, alpha).items()
            if name in ours
        }
        for row in paper.itertuples()
    ]


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


def _links(cells: list[dict[str, Cell]]) -> dict[tuple[int, str], list[Any]]:
    """Return the done runs behind each number; a change is the distilled student's."""
    links = {}
    for place, row in enumerate(cells):
        for name, of in [*row.items(), ("relative_change", row["distilled"])]:
            if of.found:
                links[place, name] = [run for run in of.runs if run not in of.undone]
    return links


def _interval(of: Cell, metric: str) -> str | None:
    """Return the 95 % interval of the distilled student's number, as text; nothing where a run is
    missing or trainings are too few.

    Nothing either where somebody removed the predictions to save room.
    """
    parts = answers(of.runs, metric) if of.found and not of.undone else []
    if not parts or len(parts) < len(of.runs):
        return None
    told = pd.concat(parts)
    found = (
        trial_interval(told, told.first_speaker, told.second_speaker)
        if metric == "eer"
        else interval(told, metric)
    )
    return (
        None
        if pd.isna(found.low)
        else f"{number(100 * found.low, 1)}–{number(100 * found.high, 1)}"
    )


def _absent(study: Study | None, corpus: str, cells: list[dict[str, Cell]], metric: str) -> str:
    """Return why no network has a number, or nothing."""
    if study is None:
        return f"no dataset of this suite has the layout {corpus}."
    if any(of.found for row in cells for of in row.values()):
        return ""
    if any(
        of.runs and all((run.folder / "result.json").exists() for run in of.runs)
        for row in cells
        for of in row.values()
    ):
        return f"the results of {study.dataset} hold no {metric.upper()}."
    return f"none of the runs of {study.dataset} behind this table is done."


def _missing(study: Study, paper: pd.DataFrame, cells: list[dict[str, Cell]]) -> list[str]:
    """Return the folders of runs that are not done, and networks for which the suite has no run at
    all."""
    found: dict[str, None] = {}
    for network, row in zip(paper.itertuples(), cells):
        for name, of in row.items():
            absent = (
                []
                if of.runs
                else [
                    f"{BACKBONES[network.backbone]}, {SETTINGS[network.setting]}, {name}: no run of this suite"
                ]
            )
            found |= dict.fromkeys(
                [f"{study.dataset}/{run.stage}/{run.folder.name}" for run in of.undone] + absent
            )
    return [
        *found,
        *(f"{study.dataset}/data/{run.folder.name}" for run in study.data if not run.done),
    ]


def sizes(settings: Settings) -> dict[str, tuple[float, float]]:
    """Return our and the paper's epochs, widths and embedding size by what a reader calls them."""
    paper = Settings()
    named = {
        told: (getattr(settings.model, name), getattr(paper.model, name))
        for name, told in SIZES.items()
    }
    return {"epochs": (settings.training.epochs, paper.training.epochs), **named}


def not_comparable(settings: Settings) -> str:
    """Return why values cannot be held against the paper's, or nothing."""
    reasons = {
        "the corpus is synthetic": settings.corpus.synthetic,
        "networks and training have other sizes than the paper’s": any(
            ours != paper for ours, paper in sizes(settings).values()
        ),
    }
    return " and ".join(reason for reason, holds in reasons.items() if holds)


def _facts(study: Study, task: int, rows: pd.DataFrame) -> list[str]:
    """Return what the comparison rests on: dataset, recordings, epochs, widths."""
    synthetic = " (synthetic corpus)" if study.settings.corpus.synthetic else ""
    told = [f"dataset {study.dataset}{synthetic}"]
    if rows.recordings.notna().any():
        folds = f"{number(rows.folds.max(), 0)} fold{'s' if rows.folds.max() > 1 else ''}"
        told.append(
            f"{number(rows.recordings.max(), 0)} recordings tested in {folds} (paper: {PAPER_RECORDINGS[task]})"
        )
    of = sizes(study.settings).items()
    return told + [
        f"{name} {ours:g}" + (f" (paper: {paper:g})" if ours != paper else "")
        for name, (ours, paper) in of
    ]


def conventions(difference: float, dataset: str) -> str:
    """Return a note where the conventions of the EER differ by more than a point, else nothing;
    ``difference`` is a fraction."""
    if not difference > MANY:
        return ""
    return (
        f"{dataset} has few trials: no threshold makes both error rates equal, and the three conventions of the EER differ by up to "
        f"{number(100 * difference, 1)} points for one student; the one shown is interpolated."
    )


def _notes(
    study: Study | None, paper: pd.DataFrame, rows: pd.DataFrame, metric: str, results: pd.DataFrame
) -> list[str]:
    notes = ["± is the standard deviation over folds."] if study and rows.folds.max() > 1 else []
    notes += (
        [
            "Intervals are over folds, or over speakers and trainings where folds are fewer than three."
        ]
        if rows.interval.notna().any()
        else []
    )
    if study and rows.distilled.notna().any() and rows.interval.isna().all():
        notes.append(
            "There are no intervals with fewer than three folds, or three seeds of one split."
        )
    if study and (why := not_comparable(study.settings)):
        notes.insert(0, f"Compare the shape, not the values: {why}.")
    if study and study.other:
        notes.append(
            f"{study.other} runs with other corpus, media, model or training parameters are left out."
        )
    if metric == "eer":
        notes.append("A positive change is a lower error rate.")
        notes += (
            [few]
            if study
            and (few := conventions(eer_conventions(results, study.dataset), study.dataset))
            else []
        )
        if (scored := _scored(study, results)) < 1:
            notes.append(
                f"Only {100 * scored:.1f} % of the trials could be scored, for recordings are missing."
            )
    if "unlabelled_third" in paper:
        notes.append(
            "The headers of the paper’s last two columns are lost in our copy; the numbers are shown as printed."
        )
    return notes
