"""Shim over tables.comparison until the new one."""
from typing import NamedTuple

import pandas as pd

from kdsuite.analysis.tables import comparison as old


class Comparison(NamedTuple):
    task: int
    dataset: str
    further: bool
    frame: pd.DataFrame
    runs: dict
    marks: dict
    facts: list
    notes: list
    missing: list
    absent: str

def tables(runs, results, alpha=0.5):
    out = []
    for table in old.comparisons(runs, results, alpha):
        task = int(table.name[5])
        frame = table.frame.copy()
        n = len(frame)
        behind = {}
        for (row, name), r in table.links.items():
            behind.setdefault(name, [[] for _ in range(n)])[row] = r
        marks = {}
        for sign, of in (("†", table.partial), ("‡", table.below)):
            for row, name in of:
                marks.setdefault(name, [""] * n)[row] += sign
        dataset = table.facts[0].removeprefix("dataset ").split(" ")[0] if table.facts else ""
        iv = frame.pop("interval")
        parts = iv.str.replace("−", "-").str.split("–", expand=True) if iv.notna().any() else None
        frame["interval_low"] = parts[0].astype(float) if parts is not None else float("nan")
        frame["interval_high"] = parts[1].astype(float) if parts is not None else float("nan")
        out.append(Comparison(task, dataset, "-" in table.name, frame, behind, marks, list(table.facts), list(table.notes), list(table.missing), table.absent))
    return out
