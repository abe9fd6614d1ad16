"""The answer to each question of the site in a sentence or two, computed from the tables that its
page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from kdsuite.analysis.claims import NOT_RUN, VERDICTS
from kdsuite.analysis.site import summary
from kdsuite.analysis.statistics.power import LEVEL, MIN_UNITS
from kdsuite.analysis.tables import BACKBONES, SETTINGS, Table
from kdsuite.analysis.tables.proven import METRICS, TARGETS
from kdsuite.analysis.tables.table import ABSENT, number

NOTHING = "Nothing was run for this."


def answers(tables: Sequence[Table]) -> dict[str, list[str]]:
    """Return the answers, sentence by sentence, by the name of their page; a page without one is
    left out."""
    made = {table.name: table for table in tables if not table.absent}
    found = {name: answer(made) for name, answer in ANSWERS.items()}
    return {name: told for name, told in found.items() if told}


def _points(value: float) -> str:
    return f"{number(value, 1, signed=True)} points"


def claims(made: Mapping[str, Table]) -> list[str]:
    """Return how many claims have which verdict."""
    if "claims" not in made:
        return [NOTHING]
    frame = made["claims"].frame
    real = frame[~frame.dataset.str.contains("synthetic")]
    counts = real.drop_duplicates(["claim", "corpus", "metric"]).verdict.value_counts()
    run = real.verdict != NOT_RUN
    if not run.any():
        return [
            "No corpus of the paper was run; what other recordings say of the method is in the table, and it says nothing of the paper."
        ]
    told = [
        f"{counts[verdict]} {verdict.replace(': too little data', ' (too little data)')}"
        for verdict in VERDICTS
        if verdict in counts
    ]
    return [f"Of {counts.sum()} claims on a corpus and metric, {', '.join(told)}."]


def gains(made: Mapping[str, Table]) -> list[str]:
    """Return, for each dataset and metric, how many networks gain or lose for sure by the paper's
    method."""
    if "gains" not in made:
        return [NOTHING]
    ours = made["gains"].frame[lambda rows: rows.method == "embedding"]
    return [
        _gain(dataset, metric, rows)
        for (dataset, metric), rows in ours.groupby(["dataset", "metric"], sort=False)
    ]


def _gain(dataset: str, metric: str, rows: pd.DataFrame) -> str:
    told = f"{dataset}, {METRICS[metric]}: {_points(rows.gain.mean())} on average over {len(rows)} student{'s' if len(rows) > 1 else ''}"
    enough = rows[rows.trainings >= MIN_UNITS]
    if enough.empty:
        return f"{told}; none has the {MIN_UNITS} trainings that it takes to say whether other trainings would gain."
    few = (
        f", {len(rows) - len(enough)} of them of too few trainings to tell"
        if len(enough) < len(rows)
        else ""
    )
    sure = enough.p_holm < LEVEL
    found = f"{(sure & (enough.gain > 0)).sum()} gain for sure, {(sure & (enough.gain < 0)).sum()} lose for sure{few}"
    if (enough.p_least >= LEVEL).all():
        plain = enough.p < LEVEL
        return (
            f"{told}; corrected for their number, so few folds cannot prove anything. Taken alone, {(plain & (enough.gain > 0)).sum()} gain "
            f"and {(plain & (enough.gain < 0)).sum()} lose (p < {LEVEL:g}){few}."
        )
    seen = (
        f"; the median design would have seen {enough.detectable.median():.1f} points"
        if enough.detectable.notna().any()
        else ""
    )
    return f"{told}; {found}{seen}."


def results(made: Mapping[str, Table]) -> list[str]:
    """Return how many networks gain in each table, here and in print."""
    told = []
    for table in made.values():
        if "paper_undistilled" in table.frame and table.frame.relative_change.notna().any():
            ours = table.frame.relative_change.dropna()
            printed = table.frame.get("paper_relative_change", pd.Series(dtype=float)).dropna()
            there = f", in print {(printed > 0).sum()} of {len(printed)}" if len(printed) else ""
            told.append(
                f"{table.title.split(',')[0]}, {summary.dataset(table)}: {(ours > 0).sum()} of {len(ours)} networks are above their undistilled student{there}."
            )
    return told or [NOTHING]


def alpha(made: Mapping[str, Table]) -> list[str]:
    """Return what choosing alpha on validation recordings costs against the best on the test."""
    if "alpha-choice" not in made:
        return [
            "No α was chosen on validation recordings: any best α seen here is one that nobody could have known."
        ]
    frame = made["alpha-choice"].frame
    ours = frame[frame.method == "embedding"]
    ours = ours if len(ours) else frame
    return [
        f"{row.dataset}, {BACKBONES[row.backbone]} {SETTINGS[row.setting]}: {row.chosen:.1f} % at the α that validation recordings choose, "
        f"{row.best:.1f} % at the α that is best on the test ({row.best_alpha:g}), {row.undistilled:.1f} % undistilled."
        for row in ours.itertuples()
    ]


def controls(made: Mapping[str, Table]) -> list[str]:
    """Return what the paper's method gains over each control."""
    if "controls" not in made:
        only = "Controls were run on the synthetic world whose truth is known alone: see the table below."
        return [only] if "known" in made else [NOTHING]
    frame = made["controls"].frame
    told = []
    for (dataset, metric, alpha), rows in frame.groupby(["dataset", "metric", "alpha"], sort=False):
        over = [
            f"{TARGETS[row.targets]} {_points(row.over)}"
            + (f" ({row.over_interval})" if row.over_interval != ABSENT else "")
            for row in rows.itertuples()
            if pd.notna(row.over)
        ]
        if over:
            told.append(
                f"{dataset}, {METRICS[metric]}, α = {alpha:g}: what the method has more than students with targets {'; '.join(over)}."
            )
    return told or ["Controls were run, but not yet the method beside them."]


def audit(made: Mapping[str, Table]) -> list[str]:
    """Return the audit's own counts."""
    return list(made["audit"].notes[:-1]) if "audit" in made else []


def ledger(made: Mapping[str, Table]) -> list[str]:
    """Return how many entries there are, and which departure moved the numbers most."""
    told = list(made["ledger"].notes) if "ledger" in made else []
    if "sensitivity" in made:
        frame = made["sensitivity"].frame
        beyond = [
            f"{row.departure} ({_points(row.effect)})"
            for row in frame[frame.outstanding == "yes"].itertuples()
        ]
        what = (
            f"beyond the luck of the seed: {', '.join(beyond)}"
            if beyond
            else "none moves the distilled student beyond the luck of the seed"
        )
        told.append(f"Of {len(frame)} departures run, {what}.")
    return told


ANSWERS: dict[str, Callable[[Mapping[str, Table]], list[str]]] = {
    "claims": claims,
    "gains": gains,
    "results": results,
    "alpha": alpha,
    "controls": controls,
    "audit": audit,
    "ledger": ledger,
}
