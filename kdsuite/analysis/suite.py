"""A suite's runs and what they found: where every question notebook starts."""

import re
from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

import pandas as pd

from kdsuite import paths
from kdsuite.analysis import comparisons, results
from kdsuite.analysis.figures import save
from kdsuite.analysis.report import BACKBONES, SETTINGS, Figure, Table
from kdsuite.parameters import ALL_FOLDS
from kdsuite.runs import grid
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, called

# of each dataset and stage so many runs are listed and have a page, those that failed first
SHOWN = 500
SIZES = {
    "epochs": "training.epochs",
    "student width": "model.width",
    "teacher width": "model.teacher_width",
    "embedding": "model.embedding",
}
PLACE = ["dataset", "backbone", "setting", "method", "alpha", "variant"]


def sizes(settings: Settings) -> dict[str, tuple]:
    """Return our and the paper's epochs, widths and embedding size by what a reader calls them."""
    both = (settings, Settings())
    return {name: tuple(map(attrgetter(of), both)) for name, of in SIZES.items()}


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
        name = called(name, grid.suites())
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
    def states(self) -> pd.DataFrame:
        """One row a run: state, seconds, device, commit, title, its page, and whether it is listed."""
        table = results.states(self.runs)
        failed_first = table.sort_values("state", key=lambda of: of != "failed", kind="stable")
        table["shown"] = failed_first.groupby(["dataset", "stage"]).cumcount() < SHOWN
        table["title"] = [title(run) for run in table.run]
        names = [plain(run.name.replace("/", "-")) for run in table.run]
        table["anchor"] = [f"run-{name}" for name in names]
        of = zip(names, table.shown, table.folder)
        table["page"] = [
            f"pages/{name}.html" if shown and (folder / "notebook.ipynb").is_file() else ""
            for name, shown, folder in of
        ]
        return table

    @cached_property
    def _links(self):
        rows = self.states[self.states.shown]
        return dict(zip(rows.folder, zip(rows.page, "runs.html#" + rows.anchor)))

    def link(self, runs: Sequence[Run]) -> str:
        """Return the address of what stands behind a number: the page of a run's notebook; for
        several runs the first one's row in the list of runs."""
        places = [self._links[run.folder] for run in runs if run.folder in self._links]
        if not places:
            return "runs.html" if runs else ""
        page, row = places[0]
        return page if len(runs) == 1 and page else row

    @cached_property
    def _students(self):
        students = {}
        for run in results.distinct(self.runs).values():
            if run.stage == "student" and run.done:
                place = results.coordinates(run)
                students.setdefault(tuple(place[name] for name in PLACE), []).append(run)
        return students

    def students(self, rows: pd.DataFrame, **other: Any) -> list[list[Run]]:
        """Return the runs behind each row, which names a student by dataset, backbone, setting,
        method, alpha and variant; ``other`` replaces some of these."""
        of = rows.assign(**other)
        return [self._students.get(place, []) for place in of[PLACE].itertuples(False, None)]

    def write(self, name: str, frame: pd.DataFrame) -> None:
        """Write a file of the report's folder, such as ``claims.csv``."""
        self._write(name, frame.round(4).to_csv(index=False))

    @cached_property
    def _begun(self):
        return any(run.done for run in self.runs)

    def _write(self, name, text):
        """Write a text; where no run is done, a file that is there holds more, such as the tables
        that a checkout brings."""
        file = self.folder / name
        if self._begun or not file.exists():
            with paths.replacing(file) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def table(self, name: str, frame: pd.DataFrame, runs: dict | None = None, **rest: Any) -> Table:
        """Write a table's files and return it; ``runs`` has by column the runs behind each cell."""
        links = {
            column: [self.link(of) if pd.notna(value) else "" for of, value in zip(behind, frame[column])]
            for column, behind in (runs or {}).items()
        }  # fmt: skip
        table = Table(name=name, frame=frame, links=links, **rest)
        self.write(f"tables/{name}.csv", frame)
        self._write(f"tables/{name}.tex", table.to_tex())
        return table

    def figure(self, name: str, picture: Any, title: str, caption: str, alt: str = "") -> Figure:
        """Write a figure's files and return it; ``picture`` is the reason where there is none."""
        if isinstance(picture, str):
            return Figure(name, title, caption, missing=picture)
        return Figure(name, title, caption, alt, save(picture, self.folder / "figures" / name))


def title(run: Run) -> str:
    """Return what a run is called, with its folds and seed where they are not the usual ones."""
    settings = run.settings
    if run.stage == "data":
        return f"Data: {settings.dataset}"
    student, sequential = run.stage == "student", "sequential" if settings.sequential else "nonseq"
    backbone = BACKBONES.get(settings.backbone, settings.backbone)
    distilled = student and settings.alpha > 0
    parts = [
        f"{backbone} {run.stage}",
        SETTINGS[settings.setting if distilled else sequential],
        settings.method if distilled else "undistilled" * student,
        f"α\u00a0=\u00a0{settings.alpha:g}" * distilled,
        f"folds {settings.folds}" * (str(settings.folds) != ALL_FOLDS),
        f"seed {settings.seed}" * (settings.seed != 0),
        results.variant(settings, run.stage),
    ]
    return ", ".join(filter(None, parts))
