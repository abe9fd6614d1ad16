"""Results as tables: one row a run, fold and metric, and one row a run."""

from __future__ import annotations

import json
import math
import time

import pytest

from kdlib.errors import UserError
from kdsuite import paths
from kdsuite.analysis.results import answers, collect, states
from kdsuite.runs.grid import Run
from tests.analysis.filed import finish, student


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    return tmp_path


def test_collect_has_a_row_for_each_run_fold_and_metric():
    run = finish(student(backbone="vgg", setting="agg", seed=3), {0: 0.5, 1: 0.25})
    found = collect([run, student(backbone="resnet")])
    assert (
        list(found.columns)
        == "dataset stage backbone setting method alpha seed variant key fold metric value recordings".split()
    )
    assert found.iloc[1].to_dict() == {
        "dataset": "demo-ravdess", "stage": "student", "backbone": "vgg", "setting": "agg", "method": "embedding", "alpha": 0.5, "seed": 3,
        "variant": "", "key": "vgg-agg-embedding-a0.50-s3", "fold": 1, "metric": "uar", "value": 0.25, "recordings": 52,
    }  # fmt: skip
    assert len(found) == 2


def test_collect_files_teachers_and_undistilled_students_as_their_results_are():
    teacher = finish(student(stage="teacher", setting="agg"), {0: 0.9})
    undistilled = finish(student(alpha=0.0, setting="agg", method="multitask"), {0: 0.4})
    found = collect([teacher, undistilled]).set_index("stage")
    assert (found.setting["teacher"], found.method["teacher"]) == ("sequential", "") and math.isnan(
        found.alpha["teacher"]
    )
    assert (found.setting["student"], found.method["student"]) == ("em", "embedding")


def test_collect_of_nothing_has_the_columns():
    assert collect([]).empty and "metric" in collect([])


def test_a_damaged_result_names_its_file():
    run = finish(student(), {0: 0.5})
    (run.folder / "result.json").write_text('{"folds": [')
    with pytest.raises(UserError, match="result.json is no valid JSON; delete"):
        collect([run])


def test_states_tell_done_from_failed_from_missing():
    done, failed, absent = (
        finish(student(), {0: 0.5}, seconds={"wall": 7.5}),
        student(alpha=0.25),
        student(alpha=0.75),
    )
    failed.folder.mkdir(parents=True)
    (failed.folder / "notebook.ipynb").write_text("{}")
    found = states([done, failed, absent])
    assert list(found.state) == ["done", "failed", "missing"] and found.seconds[0] == 7.5


def test_whether_unknown_code_was_changed_is_not_said():
    known = {"commit": "abc", "uncommitted_changes": False}
    unknown = dict.fromkeys(known)
    runs = [
        finish(student(alpha=alpha), {0: 0.5}, provenance=provenance)
        for alpha, provenance in ((0.25, known), (0.75, unknown))
    ]
    found = states(runs)[["commit", "uncommitted"]]
    assert found.to_csv(index=False).split() == ["commit,uncommitted", "abc,False", ","]


def test_collect_reads_five_thousand_runs_in_seconds(tmp_path):
    runs = [Run("student", student().settings) for part in range(5000)]
    for part in range(5000):
        home = vars(runs[part])["folder"] = tmp_path / f"part-{part}"
        home.mkdir()
        (home / "result.json").write_text(
            json.dumps(
                {"folds": [{"fold": part % 24, "uar": 0.5, "accuracy": 0.5, "recordings": 104}]}
            )
        )
    started = time.process_time()
    found = collect(runs)
    assert len(found) == 10000
    assert time.process_time() - started < 10


def test_names_that_read_like_missing_values_or_numbers_stay_names():
    run = finish(student(), {0: 0.5})
    text = "recording,speaker,fold,label,predicted,p_NA\n001,NA,0,01,NA,0.5\n"
    (run.folder / "predictions.csv").write_text(text)
    (found,) = answers([run, student(alpha=0.75)], "uar")
    assert found.to_dict("records") == [
        {
            "recording": "001",
            "speaker": "NA",
            "fold": 0,
            "label": "01",
            "predicted": "NA",
            "seed": 0,
        }
    ]
