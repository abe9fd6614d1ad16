"""The audit of the paper's printed numbers and the ledger of what it leaves open, as tables of the
site and as files.

made += [audit_table(), ledger_table()]
documents = write_documents(folder)
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kdsuite import places
from kdsuite.analysis import ledger
from kdsuite.analysis.paper import audit
from kdsuite.analysis.paper.findings import CONTRADICTS, DOUBTFUL, NOT_DERIVABLE
from kdsuite.analysis.tables.table import Column, Table

DOCUMENTS = {
    "audit.csv": "every derived number of the paper’s Tables 4 to 7 recomputed, one row a check",
    "ledger.csv": "everything the paper leaves open, and what this suite does",
}
# what a reader looks for first
REMARKABLE = (CONTRADICTS, DOUBTFUL, NOT_DERIVABLE)


def audit_table(found: pd.DataFrame | None = None) -> Table:
    """Return what the audit objects to; the notes count what it does not. ``found`` is
    :func:`kdsuite.analysis.paper.audit.audit`'s."""
    found = audit.audit() if found is None else found
    rows = found[found.verdict.isin(REMARKABLE)].sort_values(
        "verdict", key=lambda verdicts: verdicts.map(REMARKABLE.index), kind="stable"
    )
    shown = rows.assign(table=rows.table.map("Table {}".format, na_action="ignore").fillna("all"))
    return Table(
        name="audit",
        title="The printed numbers, recomputed",
        caption="Where the paper’s Tables 4 to 7 and its text contradict themselves, or cannot be followed.",
        columns=[
            Column("table", "table", header="row"),
            Column("networks", "networks"),
            Column("check", "check"),
            Column("printed", "printed", digits=2),
            Column("recomputed", "recomputed", digits=2),
            Column("verdict", "verdict"),
            Column("finding", "finding"),
        ],
        frame=shown.reset_index(drop=True),
        notes=[*audit.counts(found), f"All {len(found)} checks are in audit.csv."],
    )


def ledger_table() -> Table:
    """Return the ledger, one row an entry."""
    found = ledger.ledger()
    marks = found.mark.value_counts()
    return Table(
        name="ledger",
        title="What the paper leaves open",
        caption="Each question, what the text says of it, and what this suite does.",
        columns=[
            Column("question", "question", header="row"),
            Column("says", "the paper says"),
            Column("default", "this suite"),
            Column("alternatives", "alternatives"),
            Column("parameter", "parameter"),
            Column("effect", "measured effect, points"),
            Column("settled", "where else it is settled"),
        ],
        frame=found,
        notes=[
            f"{len(found)} entries: {marks['choice']} that nobody knows, {marks['elsewhere']} told by another source, {marks['decoded']} that follow from the paper.",
            "Measured effect: what an alternative adds to the UAR (or error rate) of the distilled student of a small network, "
            "in one seed (suite ledger). Effects below twice the luck of a seed say little.",
        ],
    )


def write_documents(folder: Path) -> dict[str, str]:
    """Write ``audit.csv`` and ``ledger.csv`` and return what they are, as
    :func:`kdsuite.analysis.site.build` takes its ``documents``."""
    audit.write(folder)
    with places.replacing(folder / "ledger.csv") as temporary:
        ledger.ledger().to_csv(temporary, index=False)
    return DOCUMENTS
