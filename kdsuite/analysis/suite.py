"""A suite's runs and what they found: where every question notebook starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from kdsuite import paths
from kdsuite.analysis import comparisons, networks, results
from kdsuite.analysis.figures import save
from kdsuite.analysis.report import (
    BACKBONES,
    BELOW,
    MANY,
    PARTIAL,
    SETTINGS,
    Figure,
    Table,
    few_trials,
)
from kdsuite.parameters import ALL_FOLDS
from kdsuite.runs import grid
from kdsuite.runs.run import Run
from kdsuite.settings import Settings

# of each dataset and stage so many runs are listed and have a page, those that failed first
SHOWN = 500
PLACE = ["dataset", "backbone", "setting", "method", "alpha", "variant"]

TASKS = {
    4: "Speaker identification on VoxCeleb1: accuracy in percent",
    5: "Speaker verification on VoxCeleb1: equal error rate in percent",
    6: "Emotion recognition on RAVDESS: unweighted accuracy (mean recall) in percent",
    7: "Emotion recognition on IEMOCAP: unweighted accuracy (mean recall) in percent",
}
PAPER_RECORDINGS = {4: "21,819", 5: "21,819", 6: "2,452", 7: "about 6 thousand"}
# columns of the paper's tables: title and format
PRINTED = {
    "teacher": ("teacher", ""),
    "undistilled": ("undistilled", ""),
    "distilled": ("distilled", ""),
    "relative_change": ("relative change,\u00a0%", "+.2f"),
    "unlabelled_third": ("third column", "+.2f"),
    "unlabelled_fourth": ("last column", ".0f"),
}


def sizes(settings: Settings) -> dict[str, tuple[float, float]]:
    """Return our and the paper's epochs, widths and embedding size by what a reader calls them."""
    names = {"width": "student width", "teacher_width": "teacher width", "embedding": "embedding"}
    ours, paper = settings, Settings()
    pairs = {
        of: (getattr(ours.model, name), getattr(paper.model, name)) for name, of in names.items()
    }
    return {"epochs": (ours.training.epochs, paper.training.epochs), **pairs}


def not_comparable(settings: Settings) -> str:
    """Return why values cannot be compared with the paper's, or nothing."""
    reasons = ["the corpus is synthetic"] * (settings.corpus.synthetic is not None)
    if any(ours != paper for ours, paper in sizes(settings).values()):
        reasons.append("networks and training have other sizes than the paper’s")
    return " and ".join(reasons)


def plain(text: str) -> str:
    """Return a name that is one in every file system and in a link."""
    return re.sub(r"[^\w.-]", "_", text)


class Suite:
    """The runs of ``params/grids/<name>.yaml``, their results, and the folder of the report.

    ``truth`` are comparisons whose truth is known; ``studied`` are the runs of all other datasets.
    """

    def __init__(self, name: str) -> None:
        self.name, self.folder = name, paths.REPORTS / name
        self.runs, self.truth = grid.runs(name), grid.known(name)
        self.worlds = {each.run.settings.dataset for each in self.truth}
        self.studied = [run for run in self.runs if run.settings.dataset not in self.worlds]

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a run, fold and metric, fractions."""
        return results.collect(self.runs)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each distilled student beside its undistilled baseline."""
        return comparisons.compare_runs(self.runs, self.results)

    @property
    def gains(self) -> pd.DataFrame:
        """The comparisons of all datasets but those whose truth is known."""
        return self.comparisons[~self.comparisons.dataset.isin(self.worlds)].reset_index(drop=True)

    @cached_property
    def histories(self) -> pd.DataFrame:
        """One row an epoch of the distilled students: norms and cosine of the two gradients."""
        return results.histories(self.studied)

    @cached_property
    def states(self) -> pd.DataFrame:
        """One row a run: state, seconds, device, commit, title, its page, and whether it is listed."""
        table = results.states(self.runs)
        failed_first = table.sort_values("state", key=lambda of: of != "failed", kind="stable")
        table["shown"] = failed_first.groupby(["dataset", "stage"]).cumcount() < SHOWN
        names = [plain("-".join(name)) for name in zip(table.dataset, table.stage, table.key)]
        there = [(folder / "notebook.ipynb").is_file() for folder in table.folder]
        pages = [f"pages/{name}.html" if it else "" for name, it in zip(names, there)]
        table = table.assign(title=table.run.map(title), anchor=[f"run-{name}" for name in names])
        return table.assign(page=pd.Series(pages, dtype=object).where(table.shown, ""))

    @cached_property
    def _links(self) -> dict[Any, tuple[str, str]]:
        rows = self.states[self.states.shown]
        return {row.folder: (row.page, f"runs.html#{row.anchor}") for row in rows.itertuples()}

    def link(self, runs: Sequence[Run]) -> str:
        """Return the address of what stands behind a number: the page of a run's notebook; for
        several runs the first one's row in the list of runs."""
        places = [self._links[run.folder] for run in runs if run.folder in self._links]
        if not places:
            return "runs.html" if len(runs) else ""
        page, row = places[0]
        return page if len(runs) == 1 and page else row

    @cached_property
    def _students(self) -> dict[tuple, list[Run]]:
        found: dict[tuple, list[Run]] = {}
        for run in results.distinct(self.runs).values():
            if run.stage == "student" and run.done:
                place = results.coordinates(run)
                found.setdefault(tuple(place[name] for name in PLACE), []).append(run)
        return found

    def students(self, rows: pd.DataFrame, **other: Any) -> list[list[Run]]:
        """Return the runs behind each row, which names a student by dataset, backbone, setting,
        method, alpha and variant; ``other`` replaces some of these."""
        of = rows.assign(**other)
        return [self._students.get(place, []) for place in of[PLACE].itertuples(False, None)]

    def undistilled(self, students: Iterable[list[Run]]) -> list[list[Run]]:
        """Return the runs of the undistilled baselines of these students."""
        keys = {(run.settings.dataset, run.key): run for run in self.runs if run.stage == "student"}
        baselines = [
            [Run("student", run.settings.undistilled()) for run in runs] for runs in students
        ]
        names = [[(run.settings.dataset, run.key) for run in each] for each in baselines]
        return [[keys[name] for name in each if name in keys] for each in names]

    def write(self, name: str, frame: pd.DataFrame) -> None:
        """Write a file of the report's folder, such as ``claims.csv``."""
        with paths.replacing(self.folder / name) as temporary:
            frame.round(4).to_csv(temporary, index=False)

    def table(self, name: str, frame: pd.DataFrame, runs: dict | None = None, **rest: Any) -> Table:
        """Write a table's files and return it; ``runs`` has by column the runs behind each cell."""
        columns = {column: list(map(self.link, behind)) for column, behind in (runs or {}).items()}
        links = {
            column: [it if pd.notna(value) else "" for it, value in zip(of, frame[column])]
            for column, of in columns.items()
        }
        table = Table(name=name, frame=frame, links=links, **rest)
        table.write(self.folder)
        return table

    def figure(self, name: str, picture: Any, title: str, caption: str, alt: str = "") -> Figure:
        """Write a figure's files and return it; ``picture`` is the reason where there is none."""
        if isinstance(picture, str):
            return Figure(name, title, caption, missing=picture)
        return Figure(name, title, caption, alt, save(picture, self.folder / "figures" / name))

    def comparison(self, of: networks.NetworkTable, alpha: float) -> Table:
        """Write one of Tables 4 to 7 and return it."""
        form = ".2f" if of.metric == "eer" else ".1f"
        columns: dict[str, Any] = {"backbone": "backbone", "setting": "setting"}
        columns |= {
            f"paper_{name}": (title, digits or form, "paper")
            for name, (title, digits) in PRINTED.items()
            if f"paper_{name}" in of.frame
        }
        columns |= {role: (role, form, "this suite") for role in of.runs}
        columns["interval_low:interval_high"] = ("distilled, 95 %", form, "this suite")
        columns["relative_change"] = ("relative change,\u00a0%", "+.2f", "this suite")
        columns["difference"] = ("ours − paper’s", f"+{form}", "this suite")
        below = of.frame[[f"{role}_below_linear" for role in of.runs]] == True  # noqa: E712, or NaN
        marks = {
            role: [PARTIAL * bool(some) + BELOW * worse for some, worse in zip(of.partial[role], below[f"{role}_below_linear"])]
            for role in of.runs
        }  # fmt: skip
        runs = {
            role: [each if isinstance(each, list) else [] for each in of.runs[role]]
            for role in of.runs
        }
        task, further = int(of.name[5]), f", {of.dataset}" * ("-" in of.name)
        return self.table(
            of.name, of.frame, runs | {"relative_change": runs["distilled"]}, columns=columns, heads=2,
            title=f"Table {task}{further}",
            caption=f"{TASKS[task]}. Distilled: the paper’s method at α\u00a0=\u00a0{alpha:g}.",
            facts=self._facts(of), notes=self._notes(of), missing=of.missing, absent=of.absent, marks=marks,
        )  # fmt: skip

    def _facts(self, of: networks.NetworkTable) -> list[str]:
        """Return what a comparison rests on: dataset, recordings, epochs, widths."""
        if of.settings is None:
            return []
        facts = [
            f"dataset {of.dataset}"
            + " (synthetic corpus)" * (of.settings.corpus.synthetic is not None)
        ]
        tested, folds = of.frame[["recordings", "folds"]].max()
        if pd.notna(tested):
            counts = f"{tested:,.0f} recordings tested in {folds:.0f} fold{'s' * (folds > 1)}"
            facts.append(f"{counts} (paper: {PAPER_RECORDINGS[int(of.name[5])]})")
        for name, (ours, paper) in sizes(of.settings).items():
            facts.append(f"{name} {ours:g}" + f" (paper: {paper:g})" * (ours != paper))
        return facts

    def _notes(self, of: networks.NetworkTable) -> list[str]:
        notes, frame = [], of.frame
        if of.settings and (why := not_comparable(of.settings)):
            notes.append(f"Compare the shape, not the values: {why}.")
        if frame.folds.max() > 1:
            notes.append("± is the standard deviation over folds.")
        if frame.interval_low.notna().any():
            notes.append(
                "Intervals are over folds, or over speakers and trainings where folds are fewer than three."
            )
        elif frame.distilled.notna().any():
            notes.append(
                "There are no intervals with fewer than three folds, or three seeds of one split."
            )
        if of.other:
            notes.append(
                f"{of.other} runs with other corpus, media, model or training parameters are left out."
            )
        if of.metric == "eer":
            notes.append("A positive change is a lower error rate.")
            own = self.results[self.results.dataset == of.dataset]
            if (difference := results.eer_conventions(own, of.dataset)) > MANY:
                notes.append(few_trials(of.dataset, difference))
            if (scored := own.value[own.metric == "trials_scored"].min()) < 1:
                notes.append(
                    f"Only {100 * scored:.1f} % of the trials could be scored, for recordings are missing."
                )
        if "paper_unlabelled_third" in frame:
            notes.append(
                "The headers of the paper’s last two columns are lost in our copy; the numbers are shown as printed."
            )
        return notes


def title(run: Run) -> str:
    """Return what a run is called, with its folds and seed where they are not the usual ones."""
    settings = run.settings.canonical()
    if run.stage == "data":
        return f"Data: {settings.dataset}"
    student = run.stage == "student"
    setting = settings.setting if student and settings.alpha else ""
    parts = [
        f"{BACKBONES.get(settings.backbone, settings.backbone)} {run.stage}",
        SETTINGS[setting or ("sequential" if settings.sequential else "nonseq")],
    ]
    if student:
        distilled = [settings.method, f"α\u00a0=\u00a0{settings.alpha:g}"]
        parts += distilled if settings.alpha else ["undistilled"]
    parts += [f"folds {settings.folds}"] * (str(settings.folds) != ALL_FOLDS)
    parts += [f"seed {settings.seed}"] * (settings.seed != 0)
    return ", ".join([*parts, *filter(None, [results.variant(settings, run.stage)])])
