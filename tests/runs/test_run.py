"""A run's identity and its state: what changed since its result was written."""

from __future__ import annotations

import errno
import json
import os
import subprocess

import numpy as np
import pytest

from kdlib.dataset import Fold
from kdlib.errors import UserError
from kdsuite import paths
from kdsuite.runs import results
from kdsuite.runs.run import Run
from kdsuite.settings import load
from tests.conftest import noise_store


def leave(run: Run, **provenance: str) -> None:
    """Leave the result of a run."""
    settings = run.settings.model_dump(mode="json")
    values = {"settings": settings, "provenance": provenance}
    paths.write_json(run.folder / "result.json", values)


def test_the_undistilled_student_is_one_run_whatever_the_method(own_data):
    runs = [
        Run("student", load(alpha=0, method=method, setting=setting, training={"temperature": t}))
        for method in ("embedding", "softlabel")
        for setting in ("em", "agg")
        for t in (1.0, 3.0)
    ]
    assert len({(run.folder, run.fingerprint, run.kind) for run in runs}) == 1
    assert runs[0].kind == "undistilled" and [each.stage for each in runs[0].needs] == ["data"]


def test_a_fold_without_validation_recordings_keeps_its_result(own_data):
    """Published folds may have lists for a part of them."""
    store, run = noise_store(), Run("student", load(alpha=0))
    half = np.arange(6), np.arange(6, 12)
    folds = [Fold(0, "a", half[0][:4], half[1], half[0][4:]), Fold(1, "b", half[1], half[0])]
    tables = [
        results.predictions(
            store, folds, {fold.number: np.eye(2)[getattr(fold, side) % 2] for fold in folds}, side
        )
        for side in ("test", "validation")
    ]
    results.write(run, results.RunResult(store, *tables))
    written = json.loads((run.folder / "result.json").read_text())
    assert [row["fold"] for row in written["folds"]] == [0, 1]
    assert [row.get("validation_uar") for row in written["folds"]] == [1.0, None]
    assert written["metrics"]["uar"] == written["metrics"]["validation_uar"] == 1.0


def test_a_table_of_a_former_result_goes(own_data):
    store, run = noise_store(), Run("student", load(alpha=0))
    folds = [Fold(0, "a", np.arange(6), np.arange(6, 12))]
    predictions = results.predictions(store, folds, {0: np.eye(2)[folds[0].test % 2]})
    (run.folder).mkdir(parents=True)
    (run.folder / "trials.csv").write_text("list,genuine\n")
    results.write(run, results.RunResult(store, predictions))
    left = {file.name for file in run.folder.iterdir()}
    assert left == {"predictions.csv", "result.json"}


@pytest.mark.parametrize("folds", ["0", "none", "1-2"])
def test_the_data_run_is_that_of_all_folds(own_data, folds):
    """One linear baseline is compared with students of any folds."""
    run = Run("data", load(folds=folds))
    assert run.settings.folds == "all" and run == Run("data", load())


@pytest.mark.parametrize(
    "given",
    [
        {"method": "softlabel", "training": {"targets": "uniform"}},
        {"alpha": 0, "training": {"epochs": 6, "cycle": 3.0}},
    ],
)
def test_the_data_run_of_a_student_can_be_run(given):
    """Its notebook has neither alpha nor method, with which alone these parameters go together."""
    student = Run("student", load(dataset="demo-controls", **given))
    run = student.needs[0]
    assert run.stage == "data" and Run("data", load(**run.given)).folder == run.folder
    sections = {"media": {"sample_rate": 8000}, "training": {"threads": 2, "epochs": 10}}
    given = Run("data", load(**sections)).given
    assert given == {"dataset": "demo-ravdess", "media": {"sample_rate": 8000}, "training": {"threads": 2}}  # fmt: skip


def test_other_weights_of_the_same_name_make_other_teachers(own_data, tmp_path):
    file, of = tmp_path / "face.pt", {"backbone": "vgg"}
    runs = [
        Run(stage, load(**of, alpha=alpha, model={"teacher_weights": str(file)}))
        for stage, alpha in (("teacher", 0.5), ("student", 0.5), ("student", 0.0), ("data", 0.5))
    ]
    file.write_bytes(b"first")
    for run in runs:
        leave(run, **run.inputs())
    assert all(run.current for run in runs)
    file.write_bytes(b"other weights")
    # neither undistilled students nor data have a teacher
    assert [run.current for run in runs] == [False, False, True, True]
    file.unlink()  # away for now, as on another machine
    assert all(run.current for run in runs)


def test_a_result_is_compared_with_its_inputs(own_data):
    run = Run("student", load(backbone="vgg"))
    assert run.state == "missing" and not run.current and run.result == {}
    leave(run, code="former", store="a")
    assert run.done and not run.current
    leave(run, code=run.code, store="a")
    assert run.current
    leave(Run("data", run.settings), store="b")
    assert run.state == "outdated" and not run.current
    leave(run, code=run.code, store="b")
    assert run.current
    leave(run, code=run.code)
    assert run.current  # a former result names no store
    values = run.settings.model_dump(mode="json")
    other = {"settings": values | {"seed": 1}, "provenance": {}}
    paths.write_json(run.folder / "result.json", other)
    assert run.state == "outdated" and run.result == {}


def test_a_corpus_that_changed_is_seen_and_one_that_is_away_is_not(own_data, monkeypatch):
    from kdsuite.data import corpora

    run = Run("student", load(backbone="vgg", corpus={"synthetic": None, "path": "nowhere"}))
    leave(run, code=run.code, store="a")
    assert run.inputs()["store"] == "a" and run.current
    monkeypatch.setattr(corpora, "on_disk", lambda settings: {"store": "b", "split": ""})
    other = Run("student", load(backbone="vgg", corpus={"synthetic": None, "path": "other"}))
    leave(other, code=other.code, store="a")
    assert other.inputs()["store"] == "b" and other.done and not other.current


def test_once_makes_a_file_a_single_time_and_after_those_beside_it(tmp_path):
    made = []

    def make(temporary):
        made.append(temporary)
        temporary.with_name("beside").write_text("first")
        temporary.write_text("last")

    for _ in range(2):
        paths.once(tmp_path / "last", make)
    assert len(made) == 1 and (tmp_path / "last").read_text() == "last"
    paths.once(tmp_path / "last", make, tmp_path / "beside")
    assert len(made) == 1
    (tmp_path / "beside").unlink()
    paths.once(tmp_path / "last", make, tmp_path / "beside")
    assert len(made) == 2 and sorted(file.name for file in tmp_path.iterdir()) == [
        "beside",
        "last",
        "last.lock",
    ]


def test_what_once_could_not_make_is_not_there(tmp_path):
    def broken(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paths.once(tmp_path / "file", broken)
    assert [file.name for file in tmp_path.iterdir()] == ["file.lock"]


def test_what_is_complete_is_read_without_writing(tmp_path, monkeypatch):
    """As on a read-only share that a colleague prepared; what is missing there is made elsewhere, or
    one sentence tells what cannot be written."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "there").write_text("made")
    before = [*(tmp_path / "data").iterdir()]
    paths.once(tmp_path / "data" / "there", None)
    assert [*(tmp_path / "data").iterdir()] == before
    for name in ("DATA", "REPORTS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    assert paths.writable(tmp_path / "data" / "a" / "b") == tmp_path / "data" / "a" / "b"
    monkeypatch.setattr("os.access", lambda place, _: place != tmp_path / "data")
    assert paths.writable(tmp_path / "data" / "a" / "b") == tmp_path / "reports" / "a" / "b"
    assert paths.writable(tmp_path / "data" / "there") == tmp_path / "data" / "there"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_place_where_nothing_can_be_written(tmp_path, number):
    def refuse(temporary):
        raise OSError(number, os.strerror(number), str(temporary))

    with pytest.raises(UserError, match="file cannot be written .*; check its permissions"):
        paths.once(tmp_path / "file", refuse)
    (tmp_path / "no folder").touch()
    with pytest.raises(UserError, match=r"no folder.* cannot be written \((Not a dir|File exists)"):
        paths.write_json(tmp_path / "no folder" / "a.json", {})


def test_an_installed_copy_asks_pip_for_its_commit(monkeypatch, capsys):
    monkeypatch.setattr(paths, "INSTALLED", True)
    monkeypatch.setattr(results, "_git", lambda *_: pytest.fail("git was asked"))
    results.commit_now.cache_clear()
    told = results.provenance(noise_store(), load().training)
    results.commit_now.cache_clear()
    assert told["uncommitted_changes"] is None and capsys.readouterr().out == ""


@pytest.mark.parametrize("there", ["nothing", "another's", "none"])
def test_a_commit_that_nobody_can_tell_is_not_called_clean(tmp_path, monkeypatch, capsys, there):
    """Without git, in a folder of somebody else, in one that merely lies in another repository."""
    home = tmp_path / "outer" / "suite"
    home.mkdir(parents=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(
            [*git, *command], cwd=home if there == "another's" else home.parent, check=True
        )
    if there == "another's":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    if there == "nothing":
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", home)
    results.commit_now.cache_clear()
    told = results.provenance(noise_store(), load().training)
    results.commit_now.cache_clear()
    assert told["commit"] is None and told["uncommitted_changes"] is None
    assert capsys.readouterr().out.startswith("the commit behind this result is unknown, and")
