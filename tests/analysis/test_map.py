"""The page of the map: what it says of comparisons whose truth is given, and where it is shown."""

from __future__ import annotations

import pandas as pd
import pytest

from kdsuite import paths
from kdsuite.analysis.comparisons import COLUMNS
from kdsuite.analysis.results import coordinates
from kdsuite.analysis.suite import Suite
from kdsuite.runs import grid
from tests.analysis.asking import Answer, ask

RUNS = grid.runs("map")


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")


def answer(runs: list, gain) -> Answer:
    """Return what the page shows where each distilled student gains ``gain`` of its settings."""
    rows = []
    for run in runs:
        of = run.settings
        if run.stage == "student" and of.alpha:
            value = gain(of.corpus.synthetic.shared, of.corpus.labelled, of.training.targets)
            numbers = {"gain": value, "low": value - 0.05, "high": value + 0.05, "trainings": 6}
            place = {
                "metric": "uar",
                "targets": of.training.targets,
                "labelled": of.corpus.labelled,
            }
            rows.append({**coordinates(run), **place, **numbers, "teacher": 0.8, "speakers": 12})
    numeric = dict.fromkeys(
        ["undistilled", "distilled", "p", "over", "over_low", "over_high"], float
    )
    with pytest.MonkeyPatch.context() as patch:
        table = pd.DataFrame(rows, columns=COLUMNS).astype(numeric)
        patch.setattr(Suite, "comparisons", table)
        return ask("map", runs)


def test_the_map_shows_each_cell_and_counts_what_theory_says():
    made = answer(
        RUNS,
        lambda shared, labelled, targets: (targets == "teacher") * shared * (1.1 - labelled) / 2,
    )
    table = made.tables["map"].frame
    cells = table.groupby("kind").size()
    assert len(cells) == 3 and cells.nunique() == 1
    pairs = table[["shared", "labelled"]].drop_duplicates()
    assert len(pairs) == cells.iloc[0] == pairs.shared.nunique() * pairs.labelled.nunique()
    told = made.names["theory"]
    falls, rises = made.names["falls"], made.names["rises"]
    assert (falls > 0).all() and (rises > 0).all() and len(falls) and len(rises)
    assert "in 0 of" in told[2]
    best = table.loc[table.gain.idxmax()]
    assert (best.shared, best.labelled) == (table.shared.max(), table.labelled.min())
    assert (
        f"most with {best.labelled:g} % of the labels where {best.shared:g} is shared" in made.text
    )
    # frames: where the interval is above zero
    cells = made.names["cells"]
    assert ((cells.sure > 0) == (cells.low > 0)).all() and (cells.sure >= 0).all()


def test_a_control_that_gains_is_named():
    made = answer(RUNS, lambda shared, labelled, targets: 0.2 * (targets == "random"))
    told = made.names["theory"][2]
    assert "shared 0, 10 % labelled: +20.0 points" in told
    assert "random vectors: a gain for sure in" in made.text and "in 0 of" not in told


@pytest.mark.parametrize("name", ["controls", "demo"])
def test_suites_without_a_map_have_no_such_page(name):
    made = answer(grid.runs(name), lambda *of: 0.1)
    assert made.text == "" and not made.tables and not made.figures and not made.shown
