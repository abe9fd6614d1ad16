"""Which runs stand behind the numbers of the tables that compare students with each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from kdsuite.analysis.results import distinct, prevailing
from kdsuite.analysis.tables.table import Table
from kdsuite.runs import grid

PLACE = ["dataset", "backbone", "setting", "method", "alpha", "variant"]
# columns whose number is that of the student a row names; of the paper's method with this student's
# parameters
OWN, METHOD = ("distilled", "gain", "effect", "effect_on_gain", "best"), ("method_gain", "over")


def linked(table: Table, runs: Iterable[Any], results: pd.DataFrame) -> Table:
    """Return a table whose rows name students (by :data:`PLACE`) with the runs behind its numbers;
    any other table as it is.

    ``results`` is what :func:`kdsuite.analysis.tables.collect` says of ``runs``.
    """
    if table.links or not set(PLACE[:4]) <= set(table.frame):
        return table
    by_key = {
        (run.settings.dataset, run.folder.name): run
        for run in distinct(runs).values()
        if run.stage == "student"
    }
    students = results[results.stage == "student"]
    usual = dict(
        prevailing(students)[["dataset", "variant"]].drop_duplicates().itertuples(index=False)
    )
    keys = students.drop_duplicates(["dataset", "key"]).groupby(PLACE).key.agg(list).to_dict()

    def at(row: dict[str, Any], **other: Any) -> list[Any]:
        place = {**row, **other}
        return [
            by_key[row["dataset"], key]
            for key in keys.get(tuple(place[name] for name in PLACE), [])
        ]

    links: dict[tuple[int, str], list[Any]] = {}
    for number, row in enumerate(table.frame.to_dict("records")):
        row.setdefault("variant", row.get("departure", usual.get(row["dataset"], "")))
        row.setdefault("alpha", row.get("best_alpha"))
        own = at(row)
        twins = [
            by_key.get((row["dataset"], grid.key(run.settings.undistilled(), "student")))
            for run in own
        ]
        taught = "; ".join(
            part for part in row["variant"].split("; ") if not part.startswith("training.targets=")
        )
        chosen = [
            run
            for alpha in str(row.get("alphas", "")).split(", ")
            if alpha
            for run in at(row, alpha=float(alpha))
        ]
        found = {
            **dict.fromkeys(OWN, own),
            **dict.fromkeys(METHOD, at(row, method="embedding", variant=taught)),
            "undistilled": [run for run in twins if run],
            "chosen": list(distinct(chosen).values()),
        }
        shown = {column.name for column in table.columns}
        links |= {
            (number, name): behind
            for name, behind in found.items()
            if behind and name in shown and pd.notna(row[name])
        }
    return replace(table, links=links)
