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
from kdsuite.runs.grid import Known

NUMBERS = ["undistilled", "distilled", "gain", "low", "high", "p", "speakers", "trainings"]
AXES = ["about", "benefit", "method", "targets"]


def rows(known: Sequence[Known], comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return one row a comparison whose truth is known, those with a benefit first; of several
    seeds one row.

    Columns: :data:`AXES`, :data:`NUMBERS` (fractions; NaN where a run is missing), and ``seen``:
    whether the interval lies above zero, None where there is none or it rests on fewer trainings
    than could tell.
    """
    found = []
    for each in known:
        place = coordinates(each.run)
        place = {name: place[name] for name in place if name not in ("stage", "seed")}
        here = comparisons[(comparisons.reindex(columns=place) == pd.Series(place)).all(axis=1)]
        row = here.iloc[0].to_dict() if len(here) else {}
        if row and each.over:  # the control stands for the undistilled student
            row |= {"undistilled": row["distilled"], "distilled": row["distilled"] + row["over"]}
            row |= {"gain": row["over"], "low": row["over_low"]}
            row |= {"high": row["over_high"], "p": row["over_p"]}
        seen = None
        if row and pd.notna(row["low"]) and row["trainings"] >= MIN_UNITS:
            seen = bool(row["low"] > 0)
        targets = each.run.settings.training.targets
        axes = dict(zip(AXES, (each.about, each.benefit, place["method"], targets)))
        found.append({name: row.get(name) for name in NUMBERS} | axes | {"seen": seen})
    table = pd.DataFrame(found, columns=[*AXES, *NUMBERS, "seen"]).drop_duplicates(AXES)
    table[NUMBERS] = table[NUMBERS].astype(float)
    return table.sort_values("benefit", ascending=False, kind="stable", ignore_index=True)


def verdict(rows: pd.DataFrame) -> str:
    """Return in one sentence whether the suite finds a benefit where there is one, and none where
    there is none.

    ``rows`` are those of :func:`rows`. One that is missing leaves the sentence open, one that is
    wrong turns it round.
    """
    missed = rows.about[rows.benefit & (rows.seen == False)]  # noqa: E712, for None is neither
    invented = rows.about[~rows.benefit & (rows.seen == True)]  # noqa: E712
    absent = int(rows.seen.isna().sum())
    wrong = [f"finds no benefit where there is one ({'; '.join(missed)})"] * (len(missed) > 0)
    wrong += [f"finds a benefit where there is none ({'; '.join(invented)})"] * (len(invented) > 0)
    sentence = "finds a benefit where there is one, and none where there is none"
    if wrong:
        return f"The suite {' and '.join(wrong)}."
    if absent or not rows.benefit.any() or rows.benefit.all():
        lacking = f"; {absent} of {len(rows)} comparisons have no interval yet" if absent else ""
        return f"It is not known whether the suite {sentence}{lacking}."
    return f"The suite {sentence}."
