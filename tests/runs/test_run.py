"""A run's identity and its state: what changed since its result was written."""

from __future__ import annotations

import pytest

from kdsuite import paths
from kdsuite.runs.run import Run, status
from kdsuite.settings import load


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


def test_status_names_what_changed(own_data, monkeypatch):
    run = Run("student", load(backbone="vgg"))
    assert status(run) == ("missing", frozenset(), {})
    leave(run, code="former", store="a")
    assert status(run).state == "done" and status(run, now=True).changed == {"code"}
    leave(run, code=run.code, store="a")
    assert status(run, now=True).state == "done"
    leave(Run("data", run.settings), store="b")
    assert status(run).state == "outdated" and status(run).changed == {"store"}
    leave(Run("student", load(backbone="vgg")), code=run.code)
    assert status(run, now=True).state == "done"  # a former result names no store
    values = run.settings.model_dump(mode="json")
    other = {"settings": values | {"seed": 1}, "provenance": {}}
    paths.write_json(run.folder / "result.json", other)
    assert status(run).changed == {"fingerprint"} and run.result == {}


def test_a_corpus_that_changed_is_seen_and_one_that_is_away_is_not(own_data, monkeypatch):
    from kdsuite.data import corpora

    run = Run("student", load(backbone="vgg", corpus={"synthetic": None, "path": "nowhere"}))
    leave(run, code=run.code, store="a")
    assert run.inputs()["store"] == "a" and status(run, now=True).state == "done"
    monkeypatch.setattr(corpora, "on_disk", lambda settings: "b")
    other = Run("student", load(backbone="vgg", corpus={"synthetic": None, "path": "other"}))
    leave(other, code=other.code, store="a")
    assert other.inputs()["store"] == "b" and status(other, now=True).changed == {"store"}


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
