"""The list of all runs: what they are called, where their pages are, and how far they got."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdsuite.analysis import tables
from kdsuite.analysis.results import variant
from kdsuite.analysis.tables import BACKBONES, SETTINGS
from kdsuite.parameters import ALL_FOLDS

SHOWN_METRICS = ("uar", "accuracy", "eer")
# a group of more runs than this is closed at first
OPEN_UP_TO = 40
# of each dataset and stage so many runs are listed and have a page, those that failed first;
# runs.csv names all
SHOWN = 500
STAGES = {"data": "data", "teacher": "teachers (video)", "student": "students (audio)"}


@dataclass(frozen=True)
class Group:
    """The ``runs`` of one dataset and stage that are listed, and how many there are in ``all`` and
    are done."""

    dataset: str
    stage: str
    runs: list[dict[str, Any]]
    all: int
    done: int
    metrics: list[str]

    @property
    def title(self) -> str:
        """What the group is called."""
        return f"{self.dataset} · {STAGES[self.stage]}"

    @property
    def open(self) -> bool:
        """Whether the list is short enough to be shown at once."""
        return len(self.runs) <= OPEN_UP_TO


def plain(text: str) -> str:
    """Return a name that is one in every file system and in a link."""
    return re.sub(r"[^\w.-]", "_", text)


def page_of(dataset: str, stage: str, key: str) -> str:
    """Return the file name of a run's page."""
    return plain(f"{dataset}-{stage}-{key}") + ".html"


def anchor(dataset: str, stage: str, key: str) -> str:
    """Return the id of a run's row in the list."""
    return "run-" + plain(f"{dataset}-{stage}-{key}")


def title(run: Any) -> str:
    """Return what a run is called on its page, with its folds and seed where they are not the usual
    ones."""
    settings = run.settings.canonical()
    if run.stage == "data":
        return f"Data: {settings.dataset}"
    departing = variant(settings, run.stage)
    part = (
        [f"folds {settings.folds}"] * (str(settings.folds) != ALL_FOLDS)
        + [f"seed {settings.seed}"] * (settings.seed != 0)
        + [departing] * bool(departing)
    )
    level = SETTINGS["sequential" if settings.sequential else "nonseq"]
    if run.stage == "teacher":
        return ", ".join([f"{BACKBONES[settings.backbone]} teacher", level, *part])
    name = f"{BACKBONES[settings.backbone]} student"
    if not settings.alpha:
        return ", ".join([name, level, "undistilled", *part])
    return ", ".join(
        [
            name,
            SETTINGS[settings.setting],
            settings.method,
            f"α\u00a0=\u00a0{settings.alpha:g}",
            *part,
        ]
    )


def states(runs: Iterable[Any], results: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`kdsuite.analysis.tables.states` with what each run is called, its page, its
    means over folds in percent, and whether it is shown."""
    found = tables.states(runs)
    means = (
        100
        * results.pivot_table(
            index=["dataset", "stage", "key"], columns="metric", values="value", aggfunc="mean"
        )
    ).reset_index()
    tested = (
        results.drop_duplicates(["dataset", "stage", "key", "fold"])
        .groupby(["dataset", "stage", "key"])
        .agg(recordings=("recordings", "sum"), folds=("fold", "nunique"))
        .reset_index()
    )
    for more in (means, tested):
        found = (
            found.merge(more, how="left", on=["dataset", "stage", "key"]) if len(more) else found
        )
    failed_first = found.sort_values("state", key=lambda state: state != "failed", kind="stable")
    found["shown"] = failed_first.groupby(["dataset", "stage"]).cumcount() < SHOWN
    names = list(zip(found.dataset, found.stage, found.key))
    return found.assign(
        title=found.run.map(title),
        page=[page_of(*name) for name in names],
        anchor=[anchor(*name) for name in names],
    )


def groups(found: pd.DataFrame) -> list[Group]:
    """Return the runs by dataset and stage, in the order of the stages."""
    made = []
    for (dataset, stage), part in found.groupby(["dataset", "stage"], sort=False):
        metrics = [name for name in SHOWN_METRICS if name in part and part[name].notna().any()]
        rows = [_row(row, metrics) for row in part[part.shown].to_dict("records")]
        made.append(
            Group(dataset, stage, rows, len(part), int((part.state == "done").sum()), metrics)
        )
    return sorted(made, key=lambda group: (group.dataset, list(STAGES).index(group.stage)))


def _row(row: dict[str, Any], metrics: list[str]) -> dict[str, Any]:
    counts = {
        name: tables.ABSENT if math.isnan(row.get(name, math.nan)) else f"{row[name]:,.0f}"
        for name in ("folds", "recordings")
    }
    values = [tables.ABSENT if math.isnan(row[name]) else f"{row[name]:.1f}" for name in metrics]
    return {
        **{name: row[name] for name in ("title", "key", "state", "page", "anchor", "device")},
        **counts,
        "values": values,
        "time": duration(row["seconds"]),
        "seconds": "" if math.isnan(row["seconds"]) else row["seconds"],
    }


def duration(seconds: float) -> str:
    """Return a time as people say it: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if math.isnan(seconds):
        return tables.ABSENT
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
