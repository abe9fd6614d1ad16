"""Comparisons whose truth is known: the sentence that opens the report, and the world itself, run
small."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.analysis.comparisons import COLUMNS
from kdsuite.analysis.results import coordinates, variant
from kdsuite.analysis.statistics.comparison import compare
from kdsuite.analysis.suite import Suite
from kdsuite.data.folds import chosen_folds
from kdsuite.runs import grid, stages
from kdsuite.runs.run import Run
from kdsuite.runs.stages import Progress
from kdsuite.settings import load
from tests.analysis.asking import Answer, ask

RIGHT = "The suite finds a benefit where there is one, and none where there is none."
BENEFIT, NONE = (
    {"gain": 0.26, "low": 0.18, "high": 0.34},
    {"gain": -0.08, "low": -0.16, "high": 0.01},
)


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")


def answer(truth: list[grid.Known], rows: list[dict]) -> Answer:
    """Return what the notebook of controls shows where the suite's comparisons are ``rows``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Suite, "comparisons", pd.DataFrame(rows, columns=COLUMNS))
        return ask("controls", [], truth)


def answer_of(*told: dict | None, benefit=(True, False, False)) -> Answer:
    """Return what is known of the first students of the suite controls, and what they found (None:
    their runs are missing)."""
    truth = [
        grid.Known(each.run, of, name)
        for each, of, name in zip(grid.known("controls"), benefit, ("shared", "soft", "shuffled"))
    ]
    numbers = {"undistilled": 0.3, "distilled": 0.5, "p": 0.03, "speakers": 12, "trainings": 6}
    rows = [
        {**coordinates(each.run), "metric": "uar", **numbers, **of}
        for each, of in zip(truth, told)
        if of
    ]
    return answer(truth, rows)


def sentence_of(*told: dict | None, benefit=(True, False, False)) -> str:
    """Return the sentence that opens the report."""
    opening, *_ = answer_of(*told, benefit=benefit).shown
    (sentence,) = re.fullmatch(r"\*\*\[(.*)\]\(controls.html#known\)\*\*", opening.data).groups()
    return sentence


def test_all_is_as_it_should_be():
    assert sentence_of(BENEFIT, NONE, NONE) == RIGHT
    rows = answer_of(BENEFIT, NONE, NONE).tables["known"].frame
    assert list(rows.about) == ["shared", "soft", "shuffled"]
    assert list(rows.seen) == [True, False, False]


def test_two_networks_of_one_name_are_two_comparisons():
    """An entry of a suite may list several α: one that misses the benefit is not hidden."""
    runs = [grid.Known(Run("student", load(alpha=of)), True, "shared") for of in (0.25, 0.5)]
    numbers = {"undistilled": 0.3, "distilled": 0.5, "p": 0.03, "speakers": 12, "trainings": 6}
    rows = [
        {**coordinates(each.run), "metric": "uar", **numbers, **of}
        for each, of in zip(runs, (BENEFIT, NONE))
    ]
    shown = answer(runs, rows).tables["known"].frame
    assert list(shown.seen) == [True, False]


def test_a_control_that_gains_and_a_benefit_that_is_missed_turn_the_sentence_round():
    invented, missed = "finds a benefit where there is none", "finds no benefit where there is one"
    assert sentence_of(BENEFIT, NONE, BENEFIT) == f"The suite {invented} (shuffled)."
    assert sentence_of(NONE, NONE, NONE) == f"The suite {missed} (shared)."
    both = f"The suite {missed} (shared) and {invented} (soft; shuffled)."
    assert sentence_of(NONE, BENEFIT, BENEFIT) == both
    # wrong remains wrong, whatever is missing beside it
    assert sentence_of(None, BENEFIT, NONE) == f"The suite {invented} (soft)."


@pytest.mark.parametrize(
    "lacking", [None, {**BENEFIT, "trainings": 5}, {**BENEFIT, "low": np.nan, "high": np.nan}]
)
def test_runs_that_are_missing_or_too_few_leave_it_open(lacking):
    sentence = sentence_of(lacking, NONE, NONE)
    assert "is not known" in sentence and "1 of 3 comparisons" in sentence and sentence != RIGHT


def test_without_both_kinds_nothing_is_shown():
    assert "It is not known" in sentence_of(BENEFIT, BENEFIT, benefit=(True, True))


def test_what_the_method_has_more_than_a_control_can_be_what_is_known():
    (control,) = [
        grid.Known(each.run, False, "over", True) for each in grid.known("controls") if each.over
    ]
    own = {"undistilled": 0.6, "distilled": 0.66, "p": 0.03, "speakers": 12, "trainings": 6}
    over = {"over": 0.02, "over_low": -0.04, "over_high": 0.06, "over_p": 0.5}
    place = {**coordinates(control.run), "metric": "uar"}
    made = answer([control], [{**place, **own, **BENEFIT, **over}])
    (row,) = made.tables["known"].frame.itertuples()
    assert (row.gain, row.low, row.high, row.p) == (2, -4, 6, 0.5) and row.seen is False
    assert (row.undistilled, row.distilled) == pytest.approx((66, 68))


def test_interval_that_touches_zero_is_no_benefit():
    rows = answer_of({**BENEFIT, "low": 0.0}, NONE, NONE).tables["known"].frame
    assert list(rows.seen) == [False, False, False]


def test_of_a_synthetic_corpus_a_name_says_what_differs():
    settings = load(
        dataset="demo-controls", corpus={"labelled": 0.2, "synthetic": {"shared": 0.0, "seed": 3}}
    )
    assert (
        variant(settings)
        == "corpus.labelled=0.2; corpus.synthetic.shared=0.0; corpus.synthetic.seed=3"
    )
    assert variant(load(dataset="demo-controls")) == ""


# suites that include others


def suite(tmp_path, monkeypatch, **files):
    (tmp_path / "grids").mkdir()
    for name, text in files.items():
        (tmp_path / "grids" / f"{name}.yaml").write_text(text)
    for file in paths.PARAMS.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.setattr(paths, "PARAMS", tmp_path)


def test_a_suite_has_the_runs_of_those_it_includes_once(tmp_path, monkeypatch):
    one, both = (
        "- {dataset: demo-ravdess, alpha: 0}",
        "- {dataset: demo-ravdess, alpha: [0, 0.5], benefit: true, about: it}",
    )
    suite(
        tmp_path,
        monkeypatch,
        inner=f"runs:\n{both}\n",
        outer=f"include: [inner]\nruns:\n{one}\n",
        alone=f"runs:\n{both}\n",
    )
    assert {run.key for run in grid.runs("outer")} == {run.key for run in grid.runs("alone")}
    assert [
        (each.benefit, each.about, each.run.settings.alpha) for each in grid.known("outer")
    ] == [(True, "it", 0.5)]


def test_the_demo_includes_the_controls():
    own, demo = (
        {(run.stage, run.settings.dataset, run.key) for run in grid.runs(name)}
        for name in ("controls", "demo")
    )
    assert own < demo and [each.benefit for each in grid.known("demo")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("include", ["[outer]", "[inner]", "inner", "[inner, nowhere]"])
def test_a_suite_that_includes_itself_or_nothing_is_refused(tmp_path, monkeypatch, include):
    run = "runs:\n- {dataset: demo-ravdess}\n"
    suite(
        tmp_path, monkeypatch, outer=f"include: {include}\n{run}", inner=f"include: [outer]\n{run}"
    )
    with pytest.raises(
        InvalidParameter,
        match="includes itself|needs a list|unknown suite 'nowhere'",
    ):
        grid.runs("outer")


# the world, run small


@pytest.mark.slow
def test_a_benefit_is_found_where_there_is_one_and_none_where_there_is_none(own_data):
    """Three folds of twelve speakers, a tenth of the labels: the teacher's own targets help, those of
    another recording do not.

    Other processors round otherwise, which is like another seed: over four seeds the gain was 22 to
    37 points, with another recording's targets -15 to -9. The bounds leave room for that; what
    intervals promise is tested in test_statistics.
    """
    base = {"dataset": "demo-controls", "backbone": "vgg"}
    settings = {
        "undistilled": load(**base, alpha=0.0),
        "method": load(**base),
        "shuffled": load(**base, training={"targets": "shuffled"}),
    }
    made = stages.prepare(settings["method"])
    folds = chosen_folds(made.recordings, settings["method"])[:3]
    privileged = stages.teachers(settings["method"], made, folds)
    found = {name: [] for name in settings}
    for name, of in settings.items():
        for fold in folds:
            heard = stages.train_student(
                of, made, fold, privileged[fold.number], Progress("student", 1)
            )
            predicted = np.array(made.classes)[heard.probabilities.argmax(1)]
            tested = made.recordings.iloc[fold.test][["recording", "speaker", "label"]]
            found[name].append(tested.assign(fold=fold.number, predicted=predicted))
    gains = {
        name: compare(pd.concat(found[name]), pd.concat(found["undistilled"]))
        for name in ("method", "shuffled")
    }
    assert gains["method"].gain > 0.05, gains["method"]
    assert gains["shuffled"].gain < gains["method"].gain - 0.08, gains["shuffled"]
