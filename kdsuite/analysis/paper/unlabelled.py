"""The column of Table 7 whose header is lost: is it a reading of the numbers beside it, and what
would it stand for?"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd

from kdsuite.analysis.paper.arithmetic import change, cut, digits, exact, fitting, judge, rounded
from kdsuite.analysis.paper.findings import (
    CONTRADICTS,
    DOUBTFUL,
    ENCODERS,
    NOT_DERIVABLE,
    finding,
    listed,
    name,
    number,
)

THIRD_COLUMN, IMPLIED = "third column", "values behind the third column"
ACCURACIES = ("teacher", "undistilled", "distilled")
# how a column without header could follow from teacher and undistilled student
READINGS = {
    "the teacher's relative advantage": lambda teacher, student: change(student, teacher),
    "the student's relative advantage": lambda teacher, student: change(teacher, student),
    "their difference": lambda teacher, student: teacher - student,
    "the teacher's relative advantage in errors": lambda teacher, student: change(
        100 - student, 100 - teacher, falls=True
    ),
}


def third_columns(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Try every reading of the column without header, and search the number that it stands for as a
    change of the student."""
    for table, rows in paper.dropna(subset=["unlabelled_third"]).groupby("table"):
        printed_digits, operand_digits = digits(rows.unlabelled_third), digits(rows.undistilled)
        reading = _reading(rows, printed_digits)
        for row in rows.itertuples():
            yield _third(table, row, reading, printed_digits, operand_digits)


def _reading(rows: pd.DataFrame, printed_digits: int) -> str | None:
    """Return the reading under which all rows agree, None where there is none."""

    def agrees(row: Any, formula: Any) -> bool:
        return (
            judge(
                exact(row.unlabelled_third),
                formula(exact(row.teacher), exact(row.undistilled)),
                printed_digits,
            )
            != CONTRADICTS
        )

    return next(
        (
            told
            for told, formula in READINGS.items()
            if all(agrees(row, formula) for row in rows.itertuples())
        ),
        None,
    )


def _third(
    table: int, row: Any, reading: str | None, printed_digits: int, operand_digits: int
) -> dict[str, Any]:
    teacher, student, printed = map(exact, (row.teacher, row.undistilled, row.unlabelled_third))
    tried = reading or next(iter(READINGS))
    value = READINGS[tried](teacher, student)
    implied = fitting(printed, printed_digits, lambda other: change(student, other), operand_digits)
    numbers = {
        "printed": printed,
        "recomputed": value,
        "rounded": rounded(value, printed_digits),
        "cut": cut(value, printed_digits),
    }
    numbers["implied"] = implied[0] if implied else None
    shown = number(printed, printed_digits)
    if reading:
        return finding(
            table,
            name(row),
            THIRD_COLUMN,
            judge(printed, value, printed_digits),
            f"{shown} is {reading}.",
            **numbers,
        )
    told = f"no reading of {teacher} and {student} gives {shown} ({tried} is {number(value, printed_digits)})"
    told += (
        f"; read as a change of the student's {student} it stands for {listed(implied, ' or ')}."
        if implied
        else "."
    )
    return finding(table, name(row), THIRD_COLUMN, NOT_DERIVABLE, told, **numbers)


def implied_values(
    paper: pd.DataFrame, third: list[dict[str, Any]], changes: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Ask where else the values stand that the third column implies: in another network, in another
    table, in a contradiction."""
    lost = [row for row in third if row["verdict"] == NOT_DERIVABLE]
    for table in dict.fromkeys(row["table"] for row in lost):
        rows = paper[paper.table == table].assign(
            implied=[row["implied"] for row in lost if row["table"] == table]
        )
        report = partial(finding, table, check=IMPLIED, verdict=DOUBTFUL)
        for values, networks in _repeated(rows):
            yield report(
                networks,
                told=f"what the third column stands for is the same for {networks}: {listed(values)}.",
            )
        different = set(rows.implied.dropna())
        if different and (told := _elsewhere(paper[paper.table != table], different)):
            yield report("all", told=told)
        for row in changes:
            if row["verdict"] == CONTRADICTS and row["implied"] in different:
                told = f"{row['implied']}, which would explain the change of {row['networks']} in Table {row['table']}, is behind the third column too."
                yield report("all", told=told, implied=row["implied"])


def _repeated(rows: pd.DataFrame) -> Iterator[tuple[tuple[Decimal, ...], str]]:
    """Yield the values that two or more encoders have in all their rows, and the names of these
    encoders."""
    by_encoder = {
        backbone: tuple(part.implied) for backbone, part in rows.groupby("backbone", sort=False)
    }
    for values in dict.fromkeys(by_encoder.values()):
        same = [ENCODERS[backbone] for backbone, found in by_encoder.items() if found == values]
        if len(same) > 1 and None not in values:
            yield values, " and ".join(same)


def _elsewhere(paper: pd.DataFrame, values: set[Decimal]) -> str:
    """Return in which column of the other tables most of the values stand, nothing where not half
    of them do."""
    columns = {
        (table, column): sorted(values & set(map(exact, rows[column].dropna())))
        for table, rows in paper.groupby("table")
        for column in ACCURACIES
    }
    (table, column), found = max(columns.items(), key=lambda item: len(item[1]))
    if 2 * len(found) <= len(values):
        return ""
    told = f"{len(found)} of the {len(values)} different values behind the third column are {column} numbers of Table {table}"
    return f"{told}: {listed(found)}."
