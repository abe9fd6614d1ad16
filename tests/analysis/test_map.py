"""The pages of the map and of the forecast: what they say of comparisons whose truth is given, and
where they are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import kdsuite.analysis.forecast
from kdsuite import paths
from kdsuite.analysis.comparisons import COLUMNS
from kdsuite.analysis.forecast import View
from kdsuite.analysis.results import coordinates
from kdsuite.analysis.suite import Suite
from kdsuite.runs import grid
from tests.analysis.asking import Answer, ask

RUNS = grid.runs("map")


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")


def answer(runs: list, gain, question: str = "map") -> Answer:
    """Return what the page shows where each distilled student gains ``gain`` of its settings."""
    rows, students = [], {}
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
            students[coordinates(run)["variant"], of.method] = [run]
            rows.append({**coordinates(run), **place, **numbers, "teacher": 0.8, "speakers": 12})
    numeric = dict.fromkeys(
        ["undistilled", "distilled", "p", "over", "over_low", "over_high"], float
    )
    with pytest.MonkeyPatch.context() as patch:
        table = pd.DataFrame(rows, columns=COLUMNS).astype(numeric)
        patch.setattr(Suite, "comparisons", table)
        patch.setattr(
            Suite,
            "students",
            lambda self, of, **other: [students[at] for at in zip(of.variant, of.method)],
        )
        return ask(question, runs, saved=True)


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
    assert "random vectors: an interval above zero in" in made.text and "in 0 of" not in told


def test_a_forecast_that_knows_the_gain_is_chosen_and_its_verdicts_are_counted(monkeypatch):
    gain = lambda shared, labelled, targets: (targets == "teacher") * shared * (1.1 - labelled) / 2  # noqa: E731
    random = np.random.default_rng(0)
    view = View(
        0,
        np.zeros(30),
        *(random.normal(size=(30, 4)), np.arange(30) % 6),
        *random.random((2, 30, 3)),
    )

    def known(run, seen):
        of = run.settings.corpus
        value = gain(of.synthetic.shared, of.labelled, "teacher")
        verdict = "pays" if value > 0.1 else "open"
        return {"forecast": value, "low": value - 0.1, "high": value + 0.1, "verdict": verdict}

    monkeypatch.setattr(kdsuite.analysis.forecast, "views", lambda run: [view])
    monkeypatch.setattr(kdsuite.analysis.forecast, "forecast", known)
    made = answer(RUNS, gain, "forecast")
    ranks = made.tables["forecasts"].frame.set_index("forecast").loc["linear probe"]
    assert ranks.filter(regex="choice|test").tolist() == pytest.approx([1] * 4)
    assert "on the half for the choice, linear probe orders the cells best" in made.text
    cells = made.tables["forecast-cells"].frame
    assert len(cells) == 20 and cells.soft.tolist() == pytest.approx(cells.forecast.tolist())
    assert f"the probe says pays of {(cells.verdict == 'pays').sum()} cells" in made.text


@pytest.mark.parametrize("question", ["map", "forecast"])
def test_suites_without_a_map_have_no_such_page(question):
    made = answer(grid.runs("controls"), lambda *of: 0.1, question)
    assert made.text == "" and not made.tables and not made.figures and not made.shown
