"""Comparisons whose truth is known: does the suite find a benefit where there is one, and none
where there is none?

A suite says in ``params/grids/<suite>.yaml`` which of its distilled students have a benefit to find
(:func:`kdsuite.runs.grid.known`). What they found is read from the same comparisons as every gain.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kdsuite.analysis.results import coordinates
from kdsuite.analysis.statistics.power import MIN_UNITS
from kdsuite.analysis.tables.proven import COMPARED, METHODS, TARGETS, TRAININGS, between, p_value
from kdsuite.analysis.tables.table import Column, Table
from kdsuite.runs.grid import Known

FOUND = ["undistilled", "distilled", "gain", "low", "high", "p", "speakers", "trainings"]
YES = {True: "yes", False: "no"}


def known_rows(known: Sequence[Known], found: pd.DataFrame) -> pd.DataFrame:
    """Return one row a comparison whose truth is known, those with a benefit first; of several
    seeds one row.

    Columns: ``about``, ``benefit``, ``method``, ``targets``, those of :data:`FOUND` (fractions, as
    in ``found``, which is :func:`kdsuite.analysis.comparisons.compare_runs`'; NaN where a run is
    missing), and ``seen``: whether the interval lies above zero, None where there is none or it
    rests on fewer trainings than could tell.
    """
    rows = []
    for each in known:
        place = {
            name: value
            for name, value in coordinates(each.run).items()
            if name not in ("stage", "seed")
        }
        here = found[(found[list(place)] == pd.Series(place)).all(axis=1)] if len(found) else found
        told = here.iloc[0].to_dict() if len(here) else {}
        if told and each.over:  # the control stands for the undistilled student
            names = {"gain": "over", "low": "over_low", "high": "over_high", "p": "over_p"}
            told |= {name: told[other] for name, other in names.items()}
            told |= {
                "undistilled": told["distilled"],
                "distilled": told["distilled"] + told["gain"],
            }
        row = {
            "about": each.about,
            "benefit": each.benefit,
            "method": place["method"],
            "targets": each.run.settings.training.targets,
        }
        rows.append({**row, **{name: told.get(name) for name in FOUND}, "seen": _seen(told)})
    columns = ["about", "benefit", "method", "targets", *FOUND, "seen"]
    table = pd.DataFrame(rows, columns=columns).drop_duplicates(
        ["about", "benefit", "method", "targets"]
    )
    table[FOUND] = table[FOUND].astype(float)
    return table.sort_values("benefit", ascending=False, kind="stable", ignore_index=True)


def _seen(told: dict) -> bool | None:
    if pd.isna(told.get("low")) or told["trainings"] < MIN_UNITS:
        return None
    return bool(told["low"] > 0)


def verdict(rows: pd.DataFrame) -> str:
    """Return in one sentence whether the suite finds a benefit where there is one, and none where
    there is none.

    ``rows`` are those of :func:`known_rows`. One that is missing leaves the sentence open, one that
    is wrong turns it round.
    """
    missed = rows.about[rows.benefit & (rows.seen == False)]  # noqa: E712, for None is neither
    invented = rows.about[~rows.benefit & (rows.seen == True)]  # noqa: E712
    absent = int(rows.seen.isna().sum())
    if len(missed) or len(invented):
        wrong = (
            [f"finds no benefit where there is one ({'; '.join(missed)})"] if len(missed) else []
        )
        wrong += (
            [f"finds a benefit where there is none ({'; '.join(invented)})"]
            if len(invented)
            else []
        )
        return f"The suite {' and '.join(wrong)}."
    if absent or not rows.benefit.any() or rows.benefit.all():
        lacking = (
            f": {absent} of {len(rows)} comparisons whose truth is known have no interval yet"
            if absent
            else ""
        )
        return f"Whether the suite finds a benefit where there is one, and none where there is none, is not known{lacking}."
    return "The suite finds a benefit where there is one, and none where there is none."


def known_table(rows: pd.DataFrame) -> Table:
    """Return the comparisons whose truth is known as a table; ``rows`` are those of
    :func:`known_rows`."""
    shown = rows.assign(
        **{name: 100 * rows[name] for name in ("undistilled", "distilled", "gain", "low", "high")}
    )
    shown["interval"] = [between(*pair) for pair in zip(shown.low, shown.high)]
    shown = shown.assign(
        p_text=shown.p.map(p_value), there=rows.benefit.map(YES), found=rows.seen.map(YES)
    )
    return Table(
        name="known",
        title="Comparisons whose truth is known",
        caption=f"{verdict(rows)} Distilled and undistilled students on the same recordings of a synthetic corpus, in percentage points.",
        columns=[
            Column("there", "a benefit is there", header="rowgroup"),
            Column("about", "comparison", header="row"),
            Column("method", "method", labels=METHODS),
            Column("targets", "targets", labels=TARGETS),
            *COMPARED,
            Column("found", "found"),
            TRAININGS,
        ],
        frame=shown,
        notes=[
            f"A benefit is found where the 95 % interval of the gain, over {MIN_UNITS} trainings or more, lies above zero. A control may lose: "
            "targets that tell nothing are noise, and following them costs."
        ],
        absent=""
        if rows.gain.notna().any()
        else "no student whose truth is known and its undistilled twin are both done.",
    )
