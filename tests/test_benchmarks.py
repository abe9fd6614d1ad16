"""The benchmarks work and say what they measured; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks import __main__ as entry
from benchmarks import report, timing


@pytest.mark.parametrize("name", [name for name in entry.NAMES if name not in ("commands", "scale")])  # these two take minutes
def test_the_entry_writes_json_and_table(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KDLIB_REPORTS", str(tmp_path))
    monkeypatch.setattr(report.places, "REPORTS", tmp_path)
    assert entry.main([name, "--quick"]) is None
    found = json.loads((tmp_path / "benchmarks" / f"{name}.json").read_text())
    assert {"device", "torch", "commit", "date", "threads", "goals", "rows", "notes", "not_measured"} <= set(found)
    numbers = [value for row in found["rows"] + found["goals"] for value in row.values() if isinstance(value, float)]
    assert numbers and all(math.isfinite(number) and number > 0 for number in numbers)
    table = (tmp_path / "benchmarks" / "README.md").read_text()
    assert all(line["what"] in table for line in found["goals"])


def test_unknown_benchmark():
    assert entry.main(["flor"]) == f"unknown benchmark 'flor'; choose from {', '.join(entry.NAMES)}."


def test_ratios_are_medians_of_rounds():
    times = {"ours": [2.0, 3.0, 40.0], "theirs": [1.0, 2.0, 10.0]}
    assert timing.ratio(times, "ours", "theirs")["ratio"] == 2.0


@pytest.mark.parametrize("sign,value,met", [("≤", 1.05, False), ("≥", 1.05, True)])
def test_goals(sign, value, met):
    assert report.goal("x", 1.2, sign, value)["met"] is met
