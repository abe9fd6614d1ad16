"""What the paper's text says of its own Tables 4 to 7, as data that the printed numbers can be
asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from kdsuite.analysis.paper.arithmetic import change, cut, exact, judge, rounded
from kdsuite.analysis.paper.findings import AGREES, CONTRADICTS, finding, listed, name

TEXT = "text against table"
# verdict, what the numbers say, and the numbers
Answer = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Statement:
    """A sentence of the text about ``table`` (0: all of them), in our words, and how the numbers
    answer it.

    ``asks`` is a key of ASKED, ``measure`` one of MEASURES; ``network`` is spelt as in the tables,
    ``printed`` is the text's number.
    """

    table: int
    says: str
    asks: str
    measure: str
    network: str = "all"
    printed: str = ""


STATEMENTS = (
    Statement(
        4,
        "the teacher of the sequential VGG is 9.09 % better than its student",
        "value",
        "advantage",
        "VGG+BiLSTM+AGG",
        "9.09",
    ),
    Statement(
        4,
        "nowhere is the teacher further ahead than there",
        "greatest",
        "advantage",
        "VGG+BiLSTM+AGG",
    ),
    Statement(4, "the sequential VGG with AGG gains most", "greatest", "gain", "VGG+BiLSTM+AGG"),
    Statement(
        4,
        "the sequential ResNet with AGG closes most of the gap to its teacher",
        "greatest",
        "share",
        "ResNet+BiLSTM+AGG",
    ),
    Statement(5, "the error of the non-sequential ResNet falls most", "greatest", "gain", "ResNet"),
    Statement(6, "the non-sequential SEResNet gains most", "greatest", "gain", "SEResNet"),
    Statement(
        7,
        "the sequential SEResNet is the best student",
        "greatest",
        "student",
        "SEResNet+BiLSTM+AGG",
    ),
    Statement(7, "the teacher is worse than its student", "every", "deficit"),
    Statement(0, "the method consistently improves the networks", "every", "gain"),
)


def _gain(row: Any) -> Decimal:
    """Return the change by distillation; where no distilled accuracy is printed, the change itself
    is."""
    if pd.isna(row.distilled):
        return exact(row.unlabelled_fourth)
    return change(exact(row.undistilled), exact(row.distilled), row.metric == "eer")


def _share(row: Any) -> Decimal:
    teacher, before, after = map(exact, (row.teacher, row.undistilled, row.distilled))
    return (after - before) / (teacher - before) * 100


MEASURES: dict[str, Callable[[Any], Decimal]] = {
    "advantage": lambda row: change(exact(row.undistilled), exact(row.teacher)),
    "deficit": lambda row: -change(exact(row.undistilled), exact(row.teacher)),
    "gain": _gain,
    "share": _share,
    "student": lambda row: exact(row.undistilled),
}


def _value(statement: Statement, found: dict[str, Decimal]) -> Answer:
    value, printed = found[statement.network], exact(statement.printed)
    numbers = {
        "printed": printed,
        "recomputed": value,
        "rounded": rounded(value, 2),
        "cut": cut(value, 2),
    }
    return judge(printed, value, 2), f"{value:.3f}", numbers


def _greatest(statement: Statement, found: dict[str, Decimal]) -> Answer:
    best = max(found.values())
    first = [network for network, value in found.items() if value == best]
    verdict = AGREES if statement.network in first else CONTRADICTS
    return verdict, f"the greatest is {best:.2f}, of {listed(first)}", {"recomputed": best}


def _every(statement: Statement, found: dict[Any, Decimal]) -> Answer:
    fails = [network for network, value in found.items() if value <= 0]
    held = len(found) - len(fails)
    numbers = {"printed": len(found), "recomputed": held}
    return (
        CONTRADICTS if fails else AGREES,
        f"so say {held} of {len(found)} rows{_where(fails)}",
        numbers,
    )


def _where(fails: list[Any]) -> str:
    tables = sorted({table for table, _ in fails})
    return "".join(
        f", and not {sum(where == table for where, _ in fails)} of Table {table}"
        for table in tables
    )


ASKED: dict[str, Callable[[Statement, dict[Any, Decimal]], Answer]] = {
    "value": _value,
    "greatest": _greatest,
    "every": _every,
}


def asked(paper: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a finding for each statement of the text; ``paper`` is
    :func:`kdsuite.analysis.paper.published`."""
    for statement in STATEMENTS:
        rows = paper[paper.table == statement.table] if statement.table else paper
        whole = statement.asks == "every"
        found = {
            (row.table, name(row)) if whole else name(row): MEASURES[statement.measure](row)
            for row in rows.itertuples()
        }
        verdict, told, numbers = ASKED[statement.asks](statement, found)
        yield finding(
            statement.table or None,
            statement.network,
            TEXT,
            verdict,
            f"{statement.says}: {told}.",
            **numbers,
        )
