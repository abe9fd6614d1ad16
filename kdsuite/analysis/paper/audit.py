"""The printed Tables 4 to 7 recomputed: digits cut or rounded, rows that contradict each other,
text against tables.

Nothing here names a row: each check goes through all of them, so that what it finds follows from
the numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from kdsuite import places
from kdsuite.analysis.paper import published, statements
from kdsuite.analysis.paper.arithmetic import (
    change,
    cut,
    digits,
    exact,
    fitting,
    judge,
    rounded,
    span,
)
from kdsuite.analysis.paper.findings import (
    AGREES,
    CONTRADICTS,
    CUT,
    DOUBTFUL,
    EITHER,
    NOT_DERIVABLE,
    ROUNDED,
    finding,
    listed,
    name,
    number,
)
from kdsuite.analysis.paper.statements import TEXT
from kdsuite.analysis.paper.unlabelled import (
    ACCURACIES,
    THIRD_COLUMN,
    implied_values,
    third_columns,
)

COLUMNS = (
    [
        "table",
        "networks",
        "check",
        "printed",
        "recomputed",
        "rounded",
        "cut",
    ]  # what is held against what
    + [
        "lowest",
        "highest",
    ]  # the recomputed percentage, had its operands not been rounded before they were printed
    + ["implied", "verdict", "finding"]  # the number from which the printed one would follow
)
TRIPLE = ["undistilled", "distilled", "relative_change"]

RELATIVE_CHANGE, SHARED_ROW, SAME_NETWORK, CONSTANT = (
    "relative change",
    "shared row",
    "same network",
    "constant column",
)
RESTING = "text that rests on a contradiction"

# what the EM and AGG rows of a network have in common
TOGETHER = {
    "teacher": "learn from one teacher",
    "undistilled": "distil into one undistilled network",
}


def audit(paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return every finding about the printed numbers, one row a check; columns are COLUMNS,
    verdicts are fixed words.

    ``paper`` is :func:`kdsuite.analysis.paper.published` where not given. ``printed`` to
    ``implied`` are numbers as printed (percent), empty where a check compares no number.
    """
    paper = published() if paper is None else paper
    changes, third = list(relative_changes(paper)), list(third_columns(paper))
    others = (
        shared_rows(paper),
        same_networks(paper),
        third,
        implied_values(paper, third, changes),
        constant_columns(paper),
    )
    rows = [
        *changes,
        *(row for check in others for row in check),
        *statements.asked(paper),
        *resting(paper),
    ]
    found = pd.DataFrame(rows, columns=COLUMNS).astype({"table": "Int64"})
    numbers = found.columns[3:-2]
    found[numbers] = found[numbers].astype(float)
    return found


def relative_changes(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Recompute each printed relative change; for a contradictory one, search the undistilled
    number that would fit."""
    for table, rows in paper.dropna(subset=TRIPLE).groupby("table"):
        operand_digits, change_digits = (
            digits(rows[TRIPLE[:2]].stack()),
            digits(rows.relative_change),
        )
        for row in rows.itertuples():
            formula = partial(change, falls=row.metric == "eer")
            yield _change(table, row, formula, operand_digits, change_digits)


def _change(
    table: int, row: Any, formula: Any, operand_digits: int, change_digits: int
) -> dict[str, Any]:
    before, after, printed = map(exact, (row.undistilled, row.distilled, row.relative_change))
    value, (lowest, highest) = formula(before, after), span(formula, operand_digits, before, after)
    verdict = judge(printed, value, change_digits)
    bases = (
        fitting(printed, change_digits, lambda base: formula(base, after), operand_digits)
        if verdict == CONTRADICTS
        else []
    )
    told = f"{before} → {after} is {number(value, change_digits + 1)} %, printed {number(printed, change_digits)}"
    if verdict == CONTRADICTS:
        told += f" ({number(lowest, change_digits)} to {number(highest, change_digits)} allow for rounded operands); "
        told += (
            f"that fits an undistilled {listed(bases, ' or ')}"
            if bases
            else "no undistilled number gives that"
        )
    numbers = {
        "recomputed": value,
        "rounded": rounded(value, change_digits),
        "cut": cut(value, change_digits),
    }
    numbers |= {
        "printed": printed,
        "lowest": lowest,
        "highest": highest,
        "implied": bases[0] if bases else None,
    }
    return finding(table, name(row), RELATIVE_CHANGE, verdict, told + ".", **numbers)


def shared_rows(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Find different networks of one table with the same undistilled and distilled number and
    change."""
    for (table, before, after, printed), rows in paper.dropna(subset=TRIPLE).groupby(
        ["table", *TRIPLE]
    ):
        if len(rows) > 1:
            networks = " and ".join(map(name, rows.itertuples()))
            told = f"{networks} share {before:g}, {after:g} and {printed:g}, though they are different networks."
            yield finding(table, networks, SHARED_ROW, DOUBTFUL, told, printed=printed)


def same_networks(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Compare the EM and AGG rows of a network, which have one teacher and distil into one
    undistilled student."""
    for (table, _), rows in paper[paper.setting != "nonseq"].groupby(
        ["table", "backbone"], sort=False
    ):
        for column in TOGETHER:
            em, agg = (rows[rows.setting == setting].iloc[0] for setting in ("em", "agg"))
            if pd.notna(em[column]) and pd.notna(agg[column]):
                yield _same(table, column, em, agg)


def _same(table: int, column: str, em: pd.Series, agg: pd.Series) -> dict[str, Any]:
    equal = em[column] == agg[column]
    told = f"{name(em)} and {name(agg)} {TOGETHER[column]}, printed as {em[column]:g}"
    if not equal:
        told += f" and {agg[column]:g}"
        if column == "undistilled" and pd.notna(agg.distilled):
            value = change(exact(em[column]), exact(agg.distilled), agg.metric == "eer")
            told += f"; from {em[column]:g} to {agg.distilled:g} the change of AGG would be {value:.2f} %"
    numbers = {"printed": agg[column], "recomputed": em[column]}
    return finding(
        table,
        name(agg),
        f"{SAME_NETWORK}: {column}",
        AGREES if equal else CONTRADICTS,
        told + ".",
        **numbers,
    )


def resting(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Find statements of the text whose answer turns once AGG starts from the undistilled number of
    its EM row."""
    em = paper[paper.setting == "em"].set_index(["table", "backbone"]).undistilled
    start = [
        em.get((row.table, row.backbone), row.undistilled)
        if row.setting == "agg"
        else row.undistilled
        for row in paper.itertuples()
    ]
    for printed, mended in zip(
        statements.asked(paper), statements.asked(paper.assign(undistilled=start))
    ):
        if printed["verdict"] != mended["verdict"]:
            turned = "contradict" if mended["verdict"] == CONTRADICTS else "agree with"
            told = f"once AGG starts from EM’s undistilled number the tables {turned} the text; {mended['finding']}"
            yield {**mended, "check": RESTING, "verdict": DOUBTFUL, "finding": told}


def constant_columns(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Find columns that are one number in all rows of a table, which different networks do not
    reach."""
    titles = {"unlabelled_third": "third column", "unlabelled_fourth": "last column"}
    for table, rows in paper.groupby("table"):
        for column in (*ACCURACIES, "relative_change", *titles):
            if rows[column].notna().all() and rows[column].nunique() == 1:
                derivable = column != "unlabelled_fourth" or rows.distilled.notna().all()
                told = f"the {titles.get(column, column)} is {rows[column].iloc[0]:g} in all {len(rows)} rows"
                told += (
                    "."
                    if derivable
                    else ", and the distilled accuracies it would follow from are not printed."
                )
                yield finding(
                    table,
                    "all",
                    CONSTANT,
                    DOUBTFUL if derivable else NOT_DERIVABLE,
                    told,
                    printed=rows[column].iloc[0],
                )


def counts(found: pd.DataFrame) -> list[str]:
    """Return how many numbers and statements agree, in sentences; ``found`` is what :func:`audit`
    returns."""
    changes = found[found.check == RELATIVE_CHANGE].verdict.value_counts()
    either, cut_only, rounded_only = (int(changes.get(word, 0)) for word in (EITHER, CUT, ROUNDED))
    told = [
        f"{either + cut_only} of {changes.sum()} relative changes agree when digits are cut; {cut_only} of them differ from rounding."
    ]
    told += [f"{rounded_only} of {changes.sum()} agree only when rounded."] if rounded_only else []
    third = found[found.check == THIRD_COLUMN]
    if lost := int((third.verdict == NOT_DERIVABLE).sum()):
        told.append(
            f"{lost} of {len(third)} numbers of a third column without header do not follow from what is printed beside them."
        )
    text = found[found.check == TEXT]
    return [
        *told,
        f"{(text.verdict != CONTRADICTS).sum()} of {len(text)} statements of the text agree with the tables.",
    ]


def summary(found: pd.DataFrame) -> list[str]:
    """Return :func:`counts` and a sentence for each finding that a reader of the paper should know
    of."""
    singled = found[
        found.verdict.isin([CONTRADICTS, DOUBTFUL, NOT_DERIVABLE]) & (found.check != THIRD_COLUMN)
    ]
    return [
        *counts(found),
        *(f"{_where(row.table)}: {row.finding}" for row in singled.itertuples()),
    ]


def _where(table: Any) -> str:
    return "All tables" if pd.isna(table) else f"Table {table}"


def write(folder: Path) -> None:
    """Write ``audit.csv``."""
    with places.replacing(folder / "audit.csv") as temporary:
        audit().round(4).to_csv(temporary, index=False)
