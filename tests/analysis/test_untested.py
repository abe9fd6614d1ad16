"""``folds: none``: one student trained on all recordings. It has no score anywhere, and is kept."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest
import yaml
from safetensors import safe_open

import kdlib
from kdsuite.analysis import card, results
from kdsuite.analysis.comparisons import compare_runs
from kdsuite.analysis.suite import Suite
from kdsuite.data import verification
from kdsuite.data.folds import chosen_folds
from kdsuite.runs import finished, grid, reproduce, stages, student_file
from kdsuite.runs import results as run_results
from kdsuite.runs.run import Run
from tests.analysis.asking import ask
from tests.conftest import noise_store, small

FEW = {"epochs": 1, "cycle": 0.5, "keep_students": False}


def student(folds="none", **given) -> Run:
    given = {"corpus": {"groups": 3}, "alpha": 0.5, "training": FEW, **given}
    return Run("student", small(backbone="vgg", folds=folds, **given))


def trained(run: Run, keep=True) -> Run:
    """Do what notebooks 02 and 03 do, on noise."""
    data = noise_store()
    chosen = chosen_folds(data.recordings, run.settings)
    privileged = {}
    if run.settings.needs_teacher:
        privileged = stages.teachers(run.settings, data, chosen)
        teacher = Run("teacher", run.settings)
        said = {of.number: privileged[of.number].probabilities[of.test].numpy() for of in chosen}
        table = run_results.predictions(data, chosen, said)
        run_results.write(teacher, run_results.RunResult(store=data, predictions=table))
    own = run.settings.changed(training={"keep_students": keep})
    own = Run("student", own) if keep and run.tested else run
    told = stages.students(own, data, chosen, privileged)
    history = {number: of.history for number, of in told.items()}
    tables = [
        run_results.predictions(
            data, chosen, {n: getattr(of, name) for n, of in told.items()}, side
        )
        for name, side in (("probabilities", "test"), ("validation", "validation"))
    ]
    run_results.write(own, run_results.RunResult(data, *tables, history=history))
    card.write(own)
    stages.remove_checkpoints(own, data, chosen)
    return own


@pytest.fixture
def untested(own_data):
    return trained(student())


def test_the_result_has_no_score_and_says_why(untested):
    result = json.loads((untested.folder / "result.json").read_text())
    assert result["metrics"] == {} and result["folds"] == []
    assert "no test" in result["untested"] and len(result["history"]["0"]) == 1
    assert pd.read_csv(untested.folder / "predictions.csv").empty
    assert (
        untested.done and untested.key == "vgg-nonseq-embedding-a0.50-s0-fnone-" + untested.key[-7:]
    )
    assert ": no test, " in finished.in_words(untested) and "nan" not in finished.in_words(untested)


def test_its_student_is_kept_and_knows_all_recordings(untested):
    assert not untested.settings.training.keep_students
    (file,) = untested.folder.glob("*.safetensors")
    assert file.name == "student.safetensors"
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["format"] == "pt"
    facts = kdlib.load_student(file).facts
    assert facts.fold == {"number": 0, "name": "all recordings"}
    # 12 recordings of three speakers, the teacher too
    assert facts.verification.recordings_of == "train" and facts.verification.speakers == 3
    (teacher,) = (untested.folder.parents[4] / "data" / "teachers").glob("*/fold-0-*")
    for name in (stages.WEIGHTS, stages.TARGETS):
        with safe_open(teacher / name, "pt") as opened:
            assert opened.metadata()["format"] == "pt"


def test_the_error_rates_at_the_threshold_are_those_of_the_pairs(untested):
    """By hand: three speakers with four recordings each, in full length."""
    told = student_file.kept(untested.folder).popitem()[1].verification
    assert told.pairs == {"same": 18, "different": 48}
    assert round(18 * told.false_rejection, 9).is_integer()
    assert round(48 * told.false_acceptance, 9).is_integer()
    assert abs(told.false_acceptance - told.false_rejection) <= 1 / 18 + 1 / 48


def test_a_fold_is_kept_where_asked_and_named_by_its_number(own_data):
    assert not [*trained(student(folds=1), keep=False).folder.glob("*.safetensors")]
    kept = trained(student(folds=1))
    assert [file.name for file in kept.folder.glob("*.safetensors")] == ["fold-1.safetensors"]


def test_verification_trials_are_not_scored(monkeypatch):
    """Nothing of the corpus is asked for: its lists need not be there."""
    lists = {"trials": ["nowhere.txt"]}
    assert verification.prepare(student(corpus=lists).settings) is None


def test_it_enters_no_comparison_and_no_table(own_data, monkeypatch):
    runs = [
        trained(student(folds=folds, alpha=alpha), keep=False)
        for folds in ("none", "all")
        for alpha in (0, 0.5)
    ]
    runs += [Run("teacher", runs[1].settings), Run("teacher", runs[3].settings)]
    assert all(run.done for run in runs) and Run("data", runs[0].settings).tested
    tested = [run for run in runs if run.tested]
    assert tested == [*runs[2:4], runs[5]]
    gains, alone = (compare_runs(some, results.collect(some)) for some in (runs, tested))
    pd.testing.assert_frame_equal(gains, alone)
    monkeypatch.setattr(grid, "runs", lambda name: runs)
    assert len(gains) == 1 and Suite("demo").students(gains) == [[runs[3]]]
    asked, alone = (ask("results", some) for some in (runs, tested))
    assert asked.tables.keys() == alone.tables.keys() and "table6" in asked.tables
    for name in asked.tables:
        pd.testing.assert_frame_equal(asked.tables[name].frame, alone.tables[name].frame)
        assert asked.tables[name].missing == alone.tables[name].missing
    assert {*results.collect(runs).key} == {run.key for run in tested}


def test_where_nothing_is_done_no_student_stands_behind_a_row(own_data, monkeypatch):
    gains = pd.DataFrame([results.coordinates(student("all"))])
    for runs in ([student("all"), student()], []):
        monkeypatch.setattr(grid, "runs", lambda name, runs=runs: runs)
        assert Suite("demo").students(gains) == [[]]


def test_a_suite_with_such_a_run_has_a_report_that_lists_it(untested, monkeypatch):
    from kdsuite.analysis import pages

    monkeypatch.setattr(grid, "runs", lambda name: [untested, Run("teacher", untested.settings)])
    suite = Suite("demo")
    assert suite.studied == []
    runs = pages.table_of_runs(suite)
    assert [*runs.state] == ["done", "done"] and runs.folds.isna().all()
    pages.build(suite)
    page = (suite.folder / "runs.html").read_text()
    assert untested.key in page and "folds none" in page and "nan" not in page.lower().split()


def test_it_is_not_drawn_to_be_run_again(untested, monkeypatch):
    monkeypatch.setattr(grid, "runs", lambda name: [untested])
    with pytest.raises(reproduce.UserError, match="nothing to compare with"):
        reproduce.reproduce("demo")


@pytest.mark.parametrize("umask", [0o027, 0o002])
def test_every_file_has_the_permissions_that_the_umask_leaves(own_data, umask):
    former = os.umask(umask)
    try:
        trained(student())
        trained(student(folds=0, training={**FEW, "targets": "audio", "checkpoint": 0.0}))
    finally:
        os.umask(former)
    files = [file for file in own_data.rglob("*") if file.is_file()]
    names = {file.name for file in files}
    assert {"student.safetensors", "fold-0.safetensors", "README.md", "result.json", "history.csv",
            "predictions.csv", stages.WEIGHTS, stages.TARGETS, "fold.json"} <= names  # fmt: skip
    wrong = {
        str(file): oct(file.stat().st_mode)
        for file in files
        if file.stat().st_mode & 0o777 != 0o666 & ~umask
    }
    assert not wrong
    assert {path.stat().st_mode & 0o777 for path in own_data.rglob("*") if path.is_dir()} == {
        0o777 & ~umask
    }


# --- the card


def test_a_card_without_scores_says_how_to_get_them(untested):
    text = (untested.folder / "README.md").read_text()
    assert "no test score" in text and "nothing is known about its scores" in text
    assert "Do not use the student on people" in text and "class-0, class-1" in text
    assert "licence of the recordings: MIT" in text and "UAR |" not in text
    front = text.split("---")[1]
    assert 'license: "mit"' in front and "model-index" not in front


def test_a_card_has_the_scores_of_the_same_run_with_all_folds(untested):
    kept = trained(student(folds="all"), keep=False)
    assert not (kept.folder / "README.md").exists()  # nothing is kept there
    text = (untested.folder / "README.md").read_text()
    folds = json.loads((kept.folder / "result.json").read_text())["folds"]
    for row in folds:
        assert f"| {row['fold']} | 4 | {100 * row['uar']:.1f} | — |" in text
    assert kept.key in text and "The scores below estimate it" in text and "95 % interval" in text


def test_a_card_of_folds_has_interval_linear_baseline_and_thresholds(own_data):
    run = student(folds="all", training={**FEW, "keep_students": True})
    rows = [{"fold": fold, "uar": 0.25, "recordings": 4} for fold in range(3)]
    run.data.folder.mkdir(parents=True)
    (run.data.folder / "result.json").write_text(json.dumps({"folds": rows}))
    run = trained(run, keep=False)
    text = (run.folder / "README.md").read_text()
    assert text.count("| 25.0 |\n") == 4 and "95 % interval of the mean" in text
    for file, facts in student_file.kept(run.folder).items():
        assert f"| {file.name} | {facts.verification.threshold:.3f} |" in text
    scores = json.loads((run.folder / "result.json").read_text())["metrics"]
    # as huggingface-hub reads it
    front = yaml.safe_load(text.split("---\n")[1])
    (result,) = front["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(100 * scores["uar"], 2)
    assert result["dataset"]["name"] == "demo-ravdess" and front["library_name"] == "kdlib"
