"""A suite's runs and what they found: where every question notebook starts."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any

import pandas as pd

from kdsuite import paths
from kdsuite.analysis import comparisons, results
from kdsuite.analysis.figures import save
from kdsuite.analysis.report import NAMES, Figure, Table, label
from kdsuite.analysis.results import PLACE
from kdsuite.parameters import ALL_FOLDS
from kdsuite.runs import grid
from kdsuite.runs.run import Run
from kdsuite.settings import Settings, called

# of each dataset and stage so many runs are listed and have a page, those that failed first
SHOWN = 500


def sizes(settings: Settings) -> dict[str, tuple]:
    """Return our and the paper's epochs, widths and embedding size by what a reader calls them."""
    both = (settings, Settings())
    return {name: tuple(map(attrgetter(of), both)) for name, of in NAMES["sizes"].items()}


def not_comparable(settings: Settings) -> str:
    """Return why values cannot be compared with the paper's, or nothing."""
    reasons = {
        "the corpus is synthetic": settings.corpus.synthetic,
        "networks and training have other sizes than the paper’s": any(
            ours != paper for ours, paper in sizes(settings).values()
        ),
    }
    return " and ".join(filter(reasons.get, reasons))


class Suite:
    """The runs of ``params/grids/<name>.yaml``, their results, and the folder of the report.

    ``truth`` are comparisons whose truth is known; ``studied`` are the runs of all other datasets
    that are tested.
    """

    def __init__(self, name: str) -> None:
        name = called(name, grid.suites())
        self.name, self.folder = name, paths.REPORTS / name
        self.runs, self.truth = grid.runs(name), grid.known(name)
        self.worlds = {each.run.settings.dataset for each in self.truth}
        self.studied = [
            run for run in self.runs if run.tested and run.settings.dataset not in self.worlds
        ]

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a run, fold and metric, fractions."""
        return results.collect(self.runs)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Each distilled student beside the undistilled student."""
        return comparisons.compare_runs(self.runs, self.results)

    @property
    def gains(self) -> pd.DataFrame:
        """The comparisons of all datasets but those whose truth is known."""
        return self.comparisons.query("dataset not in @self.worlds").reset_index(drop=True)

    @cached_property
    def states(self) -> pd.DataFrame:
        """One row a run: state, seconds, device, commit, title, page, and whether it is listed."""
        table = results.states(self.runs)
        failed_first = table.sort_values("state", key=lambda of: of != "failed", kind="stable")
        table["shown"] = failed_first.groupby(["dataset", "stage"]).cumcount() < SHOWN
        table["title"] = table.run.map(title)
        names = table.dataset + "-" + table.stage + "-" + table.key
        table["anchor"] = "run-" + names
        executed = table.run.map(lambda run: (run.folder / "notebook.ipynb").is_file())
        table["page"] = ("pages/" + names + ".html").where(table.shown & executed, "")
        return table

    @cached_property
    def _listed(self):
        return {row.run.folder: row for row in self.states.itertuples() if row.shown}

    def link(self, runs: Sequence[Run]) -> str:
        """Return the address of what stands behind a number: the page of a run's notebook; for
        several runs the first one's row in the list of runs."""
        for run in runs:
            if row := self._listed.get(run.folder):
                return (len(runs) == 1 and row.page) or f"runs.html#{row.anchor}"
        return "runs.html" if runs else ""

    def students(self, rows: pd.DataFrame, **other: Any) -> list[list[Run]]:
        """Return the runs behind each row, which names a student by dataset, backbone, setting,
        method, alpha and variant; ``other`` replaces some of these."""
        done, runs = self.states.query("stage == 'student' and state == 'done'"), defaultdict(list)
        for run, *place in done[["run", *PLACE]].itertuples(False, None):
            if run.tested:
                runs[tuple(place)].append(run)
        return [runs[place] for place in rows.assign(**other)[PLACE].itertuples(False, None)]

    def write(self, name: str, content: pd.DataFrame | str, keep: bool = True) -> None:
        """Write a file of the report's folder, such as ``claims.csv``.

        Where no run is done, a file that is there holds more, such as the tables that a checkout
        brings: ``keep`` leaves it. Raises FullDisk.
        """
        file = self.folder / name
        if isinstance(content, pd.DataFrame):
            content = content.round(4).to_csv(index=False)
        if not (keep and file.exists()) or any(run.done for run in self.runs):
            paths.write_text(file, content)

    def table(self, name: str, frame: pd.DataFrame, runs: dict | None = None, **rest: Any) -> Table:
        """Write a table's files and return it; ``runs`` has by column the runs behind each cell.

        The CSV has the columns that are shown, with the ends of intervals and standard deviations.
        """
        links = {
            column: [self.link(of) * pd.notna(value) for of, value in zip(behind, frame[column])]
            for column, behind in (runs or {}).items()
        }
        table = Table(name=name, frame=frame, links=links, **rest)
        shown = chain(*((*column.split(":"), f"{column}_sd") for column in table.columns))
        self.write(f"tables/{name}.csv", frame.filter(dict.fromkeys(shown)))
        self.write(f"tables/{name}.tex", table.to_tex())
        return table

    def figure(self, name: str, picture: Any, title: str, caption: str, alt: str = "") -> Figure:
        """Write a figure's files and return it; ``picture`` is the reason where there is none."""
        if isinstance(picture, str):
            return Figure(name, title, caption, missing=picture)
        return Figure(name, title, caption, alt, save(picture, self.folder / "figures" / name))


def title(run: Run) -> str:
    """Return what a run is called, with its folds and seed where they are not the usual ones."""
    of, kind = run.settings, run.kind
    if kind == "data":
        return f"Data: {of.dataset}"
    parts = [
        f"{label('backbone', of.backbone)} {run.stage}",
        label("setting", results.level_of(of.setting, kind)),
        {"undistilled": kind, "student": of.method}.get(kind),
        f"α\u00a0=\u00a0{of.alpha:g}" * (kind == "student"),
        f"folds {of.folds}" * (str(of.folds) != ALL_FOLDS),
        f"seed {of.seed}" * (of.seed != 0),
        results.variant(of, run.stage),
    ]
    return ", ".join(filter(None, parts))
