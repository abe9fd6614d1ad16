"""The first screen: what the suite found in a few numbers, and what keeps them from being the
paper's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kdsuite.analysis.site.layout import Links
from kdsuite.analysis.tables import BACKBONES, SETTINGS, Table
from kdsuite.analysis.tables.comparison import not_comparable
from kdsuite.analysis.tables.known import verdict
from kdsuite.analysis.tables.proven import METRICS
from kdsuite.analysis.tables.table import LINEAR, number


@dataclass(frozen=True)
class KeyNumber:
    """A key number with what it counts, what the paper says, a link to what stands behind it, and
    what it is about."""

    value: str
    label: str
    paper: str = ""
    href: str = ""
    about: str = ""


def headline(tables: Sequence[Table], states: pd.DataFrame, links: Links) -> list[KeyNumber]:
    """Return the key numbers: those of the first comparison with the paper that has any, or of the
    first gain, and how many runs are done."""
    found = leading(tables)
    numbers = (
        [replace(each, about=dataset(found)) for each in _gains(found) + _levels(found, links)]
        if found
        else _of_no_corpus(tables)
    )
    runs = KeyNumber(
        f"{(states.state == 'done').sum()} of {len(states)}",
        "runs are done",
        href="runs.html",
        about="the whole suite",
    )
    return [*numbers, runs]


def opening(tables: Sequence[Table]) -> str:
    """Return whether the suite finds what is known to be there, nothing where it says of no run
    what that is."""
    return next((verdict(table.frame) for table in tables if table.name == "known"), "")


def leading(tables: Sequence[Table]) -> Table | None:
    """Return the networks of the first comparison with numbers of ours, RAVDESS before all: it is
    the corpus that everybody can get."""
    found = [table for table in tables if "paper_undistilled" in table.frame and not table.absent]
    first = min(
        found, key=lambda table: (not table.name.startswith("table6"), table.name), default=None
    )
    return first and replace(first, frame=first.frame[first.frame.backbone != LINEAR])


def subject(tables: Sequence[Table]) -> str:
    """Return what the key numbers are about: the corpus of the first comparison that has any."""
    found = leading(tables)
    return f"{found.caption.split(':')[0]}: {dataset(found)}" if found else ""


def dataset(comparison: Table) -> str:
    """Return which dataset's numbers a comparison holds, and whether it is synthetic."""
    return comparison.facts[0].removeprefix("dataset ").replace(" corpus)", ")")


def _gains(table: Table) -> list[KeyNumber]:
    """Return how many networks gain, and how much."""
    changes = table.frame.relative_change.dropna()
    if not len(changes):
        return []
    printed = (
        table.frame.paper_relative_change
        if "paper_relative_change" in table.frame
        else pd.Series(dtype=float)
    )
    many, mean = (
        (
            f"paper: {(printed > 0).sum()} of {len(printed)}",
            f"paper: {number(printed.mean(), 1, signed=True)} %",
        )
        if len(printed)
        else ("", "")
    )
    return [
        KeyNumber(
            f"{(changes > 0).sum()} of {len(changes)}",
            "networks gain by distillation",
            many,
            f"results.html#{table.name}",
        ),
        KeyNumber(
            f"{number(changes.mean(), 1, signed=True)} %",
            "mean relative change",
            mean,
            f"results.html#{table.name}",
        ),
    ]


def _levels(table: Table, links: Links) -> list[KeyNumber]:
    """Return the best student, and how much better the teacher sees than the student hears."""
    frame, numbers = table.frame, []
    distilled = frame.distilled.dropna()
    if len(distilled):
        best = int(distilled.idxmin() if table.name.startswith("table5") else distilled.idxmax())
        name = f"{BACKBONES[frame.backbone[best]]}, {SETTINGS[frame.setting[best]]}"
        printed = (
            f"paper: {frame.paper_distilled[best]:.1f} %" if "paper_distilled" in frame else ""
        )
        numbers.append(
            KeyNumber(
                f"{distilled[best]:.1f} %",
                f"best distilled student: {name}",
                printed,
                links.runs(table.links[best, "distilled"]),
            )
        )
    both = frame.dropna(subset=["teacher", "undistilled"]) if "teacher" in frame else frame.iloc[:0]
    if len(both):
        printed = f"paper: {frame.paper_teacher.mean():.1f}, {frame.paper_undistilled.mean():.1f} %"
        value = f"{both.teacher.mean():.1f}, {both.undistilled.mean():.1f} %"
        numbers.append(
            KeyNumber(
                value,
                "teacher (sees), undistilled student (hears), mean",
                printed,
                f"results.html#{table.name}",
            )
        )
    return numbers


def _of_no_corpus(tables: Sequence[Table]) -> list[KeyNumber]:
    """Return what the paper's method gains on the first dataset by its first metric, where no
    corpus of the paper has numbers."""
    gains = next(
        (table.frame for table in tables if table.name == "gains"),
        pd.DataFrame(columns=["dataset", "metric", "method"]),
    )
    for (name, metric), rows in gains[gains.method == "embedding"].groupby(
        ["dataset", "metric"], sort=False
    ):
        many = f"mean of {len(rows)} student{'s' if len(rows) > 1 else ''}"
        found = {
            f"{METRICS[metric]} gained by distillation, {many}": f"{number(rows.gain.mean(), 1, signed=True)} points",
            f"{METRICS[metric]}, undistilled and distilled, {many}": f"{rows.undistilled.mean():.1f} %, {rows.distilled.mean():.1f} %",
        }
        return [
            KeyNumber(value, label, href="gains.html#gains", about=name)
            for label, value in found.items()
        ]
    return []


def warnings(states: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (heading, sentence) of everything a reader must know before believing a number."""
    told = []
    used = {
        dataset: part.run.iloc[0].settings
        for dataset, part in states[states.stage != "data"].groupby("dataset", sort=False)
    }
    if drawn := [dataset for dataset, settings in used.items() if settings.corpus.synthetic]:
        made = f"Faces and voices of {', '.join(drawn)} are drawn and spoken by the suite itself."
        told.append(
            (
                "Synthetic recordings",
                f"{made} Their numbers prove that the machinery works, and say nothing of the paper.",
            )
        )
    for dataset, settings in used.items():
        if dataset not in drawn and (why := not_comparable(settings)):
            told.append(("Not the paper’s protocol", f"{dataset}: {why}."))
    undone, failed = int((states.state != "done").sum()), int((states.state == "failed").sum())
    if undone:
        some = f", {failed} of them failed" if failed else ""
        told.append(
            (
                "Partial",
                f"{undone} of {len(states)} runs have no result{some}; numbers that need them are shown as —.",
            )
        )
    return told


def standard_error(tables: Sequence[Table]) -> str:
    """Return a sentence on how much chance there is in one percentage, for the first comparison
    that has numbers."""
    found = leading(tables)
    shares = (
        found.frame[["undistilled", "distilled"]].stack() / 100 if found else pd.Series(dtype=float)
    )
    if not len(shares.dropna()):
        return ""
    recordings, folds = found.frame.recordings.max(), found.frame.folds.max()
    points = 100 * math.sqrt(shares.mean() * (1 - shares.mean()) / recordings)
    return (
        f"For scale: with {number(recordings, 0)} test recordings, the standard error of one such percentage is about {points:.1f} points; "
        f"the luck of its {number(folds, 0)} training{'s' if folds > 1 else ''} a seed comes on top."
    )


def provenance(states: pd.DataFrame) -> dict[str, list[Any]]:
    """Return commits, devices and the time of the last result."""
    done = states[states.state == "done"]
    commits = [
        commit[:12] + (" with uncommitted changes" if changed else "")
        for commit, changed in zip(done.commit, done.uncommitted)
        if commit
    ]
    return {
        "commits": sorted(set(commits)),
        "devices": sorted(set(done.device) - {""}),
        "finished": [max(done.finished)] if len(done) and max(done.finished) else [],
    }
