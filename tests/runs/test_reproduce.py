"""``make verify``: a finished run is run again, and each number that does not come out again is
told."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from kdsuite import paths
from kdsuite.runs import reproduce
from kdsuite.runs.reproduce import beyond_spread, differences
from kdsuite.runs.run import Run
from kdsuite.settings import load
from tests.runs.test_cluster import QUICK

STUDENT = "vgg-nonseq-embedding-a0.00-s0"


def leave(folder, uar=0.25, p="0.5", seconds=1.0):
    """Leave the result and the predictions of a run."""
    folder.mkdir()
    result = {
        "folds": [{"fold": 0, "uar": uar}],
        "metrics": {"uar": uar},
        "seconds": {"wall": seconds},
        "provenance": {"finished": seconds},
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "predictions.csv").write_text(
        f"recording,predicted,p_happy\na,happy,{p}\nb,sad,0.5\n"
    )
    return folder


def test_every_number_that_differs_is_told_with_both_values(tmp_path):
    kept, same, result, answers = (
        leave(tmp_path / name, **values)
        for name, values in {
            "kept": {},
            "same": {"seconds": 2.0},
            "result": {"uar": 0.26},
            "answers": {"p": "0.75"},
        }.items()
    )
    assert not differences(kept, same)
    assert differences(kept, result) == [
        "folds.0.uar was 0.25, is 0.26",
        "metrics.uar was 0.25, is 0.26",
    ]
    assert differences(kept, answers) == ["predictions.csv.0.p_happy was '0.5', is '0.75'"]
    with open(answers / "predictions.csv", "a") as file:
        file.write("c,sad,0.5\n")
    assert differences(kept, answers)[1:] == [
        f"predictions.csv.2.{name} was None, is {value!r}"
        for name, value in (("recording", "c"), ("predicted", "sad"), ("p_happy", "0.5"))
    ]


def test_on_a_gpu_metrics_are_compared_within_the_spread_of_trainings(tmp_path, monkeypatch):
    def result(name, *uars):
        folder = leave(tmp_path / name)
        rows = [{"fold": fold, "uar": uar, "recordings": 9} for fold, uar in enumerate(uars)]
        (folder / "result.json").write_text(json.dumps({"folds": rows}))
        return folder

    kept = result("kept", 0.4, 0.5, 0.6, 0.7)
    assert not beyond_spread(kept, result("near", 0.42, 0.47, 0.61, 0.69))
    (line,) = beyond_spread(kept, result("shifted", 0.43, 0.531, 0.63, 0.73))  # all the same way
    assert line == "metrics.uar was 0.55, is 0.5803, beyond the spread of trainings"
    assert beyond_spread(kept, result("far", 0.2, 0.3, 0.9, 1.1)), "more than five points"
    assert not beyond_spread(kept, kept)
    one = result("one", 0.5)
    assert not beyond_spread(one, result("one-near", 0.54))
    assert beyond_spread(one, result("one-far", 0.44))


@pytest.mark.parametrize("repeat,asked", [("spread", True), ("bits", False)])
def test_results_say_how_they_repeat(own_data, monkeypatch, repeat, asked):
    """What a result tells of itself decides how it is compared."""
    run = Run("student", load(alpha=0.0))
    leave(own_data / "filed")
    run.folder.parent.mkdir(parents=True)
    (own_data / "filed").rename(run.folder)
    result = {"provenance": {"repeat": repeat, "device": "x"}, "folds": [{"fold": 0, "uar": 0.25}]}
    (run.folder / "result.json").write_text(json.dumps(result))
    calls = []
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(reproduce.subprocess, "run", lambda *given, **named: done)
    for name in ("differences", "beyond_spread"):
        monkeypatch.setattr(reproduce, name, lambda *given, name=name: calls.append(name) or [])
    (own_data / "scratch").mkdir()
    assert reproduce._again(run, own_data / "scratch", False) == []
    assert calls == ["beyond_spread" if asked else "differences"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite of one student that is done: its environment, and its result."""
    home = tmp_path_factory.mktemp("verify")
    file = yaml.safe_load((paths.ROOT / "params" / "demo-ravdess.yaml").read_text())
    for section, values in QUICK.items():
        file[section] |= {
            name: {**file[section][name], **value} if isinstance(value, dict) else value
            for name, value in values.items()
        }
    (home / "params" / "grids").mkdir(parents=True)
    (home / "params" / "tiny.yaml").write_text(yaml.safe_dump({**file, "dataset": "tiny"}))
    runs = [{"dataset": "tiny", "backbone": "vgg", "alpha": 0}]
    (home / "params" / "grids" / "tiny.yaml").write_text(
        yaml.safe_dump({"title": "one student", "runs": runs})
    )
    environment = {
        f"KDLIB_{name.upper()}": str(home / name) for name in ("params", "data", "reports")
    }
    environment = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    given = ["-p", "dataset", "tiny", "-p", "backbone", "vgg", "-p", "alpha", "0"]
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--engine",
        "kdlib",
        "--no-progress-bar",
        paths.ROOT / "notebooks" / "03_student.ipynb",
    ]
    done = subprocess.run(
        [*command, home / "out.ipynb", *given],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return environment, home / "reports" / "runs" / "tiny" / "student" / STUDENT / "result.json"


def verify(environment):
    """Run the sample again; return the exit code and what was said."""
    command = [sys.executable, "-m", "kdlib", "reproduce", "tiny"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_an_unaltered_run_comes_out_again_and_an_altered_number_is_told(suite):
    environment, file = suite
    assert verify(environment) == (0, f"tiny/student/{STUDENT}: every number is the same\n")
    result = json.loads(file.read_text())
    was = result["folds"][1]["uar"]
    result["folds"][1]["uar"] = was + 1e-6
    file.write_text(json.dumps(result))
    code, said = verify(environment)
    told = [
        f"tiny/student/{STUDENT}: 1 numbers differ",
        f"    folds.1.uar was {was + 1e-6!r}, is {was!r}",
    ]
    assert code == 1 and said.splitlines()[:2] == told, said


@pytest.mark.slow
def test_a_suite_of_which_nothing_is_done_is_one_sentence(suite, tmp_path):
    code, said = verify({**suite[0], "KDLIB_REPORTS": str(tmp_path)})
    assert (
        code == 2
        and said
        == "no run of this suite is done, so there is nothing to compare with; make reports runs them.\n"
    )
