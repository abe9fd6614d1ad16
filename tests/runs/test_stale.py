"""What a change makes out of date: exactly the runs whose numbers hang on it, all of them in one
plan, and nothing once they were run again.

Trainings are stubs that tell of themselves what real ones do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kdsuite import demo as synthetic
from kdsuite import paths
from kdsuite.parameters import Corpus, Synthetic
from tests.runs.test_suite import snakemake

STUB = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

import yaml

from kdsuite.runs import grid
from kdsuite.settings import load

notebook, output, given = Path(sys.argv[4]), Path(sys.argv[5]), yaml.safe_load(sys.argv[7])  # as in tests/runs/test_suite.py
print(output.parent, file=open(os.environ["CALLS"], "a"))
if notebook.stem == "04_analysis":
    (output.parent / "index.html").touch()
    sys.exit()
settings, stage = load(**given), {{name: stage for stage, name in grid.STAGES.items()}}[notebook.stem]
run = grid.Run(stage, settings)
told = {{"code": run.code}}
if settings.corpus.trials:
    from kdsuite.data import corpora

    told |= {{**corpora.on_disk(settings), "trials": corpora.trials_on_disk(settings.corpus)}}
    if stage == "teacher":
        told["trials"] = ""
result = {{"settings": run.settings.model_dump(mode="json"), "folds": [{{"fold": 0, "uar": 0.5}}], "provenance": told}}
(output.parent / "result.json").write_text(json.dumps(result))
"""
pytestmark = pytest.mark.slow
REPORT = {"two"}
DATASETS = ("faces", "voices")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of the suite with two datasets, all of its runs done; of ``voices`` also the corpus is
    there, with a trial list."""
    home = tmp_path_factory.mktemp("stale")
    for name in ("kdlib", "kdsuite", "notebooks", "params"):
        shutil.copytree(
            paths.ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(paths.ROOT / "Snakefile", home)
    tree = Corpus(
        layout="voxceleb1",
        path=str(home / "tree"),
        synthetic=Synthetic(actors=2, takes=2, outsiders=2),
    )
    synthetic.ensure(tree)
    for name, usual, path in (
        ("faces", "demo-ravdess", "nowhere"),
        ("voices", "demo-voxceleb1", str(home / "tree")),
    ):
        file = yaml.safe_load((paths.ROOT / "params" / f"{usual}.yaml").read_text())
        corpus = {**file["corpus"], "path": path, "synthetic": None}
        (home / "params" / f"{name}.yaml").write_text(
            yaml.safe_dump({**file, "dataset": name, "corpus": corpus})
        )
    runs = [{"dataset": list(DATASETS), "backbone": "vgg", "alpha": [0, 0.5]}]
    runs.append(
        {
            "dataset": "faces",
            "backbone": "vgg",
            "method": "softlabel",
            "training": {"targets": "uniform"},
        }
    )
    (home / "params" / "grids" / "two.yaml").write_text(
        yaml.safe_dump({"title": "two", "runs": runs})
    )
    (home / "bin").mkdir()
    (home / "bin" / "papermill").write_text(STUB)
    (home / "bin" / "papermill").chmod(0o755)
    code, said, called = snakemake(home)
    assert code == 0 and len(called) == 2 * 4 + 1 + 1, said
    return home


def runs(stage: str, *datasets: str, alpha: str = "") -> set[str]:
    """Return the runs of a stage; of students those of an ``alpha``, all of them where it is not
    given."""
    keys = {
        "data": ["all"],
        "teacher": ["vgg-nonseq-s0"],
        "student": [f"vgg-nonseq-embedding-a{which}-s0" for which in ("0.00", "0.50")],
    }
    found = {
        f"runs/{dataset}/{stage}/{key}"
        for dataset in datasets
        for key in keys[stage]
        if alpha in key
    }
    return found


def smoothed(home: Path) -> set[str]:
    """Return the student of equal probabilities, which has no teacher."""
    return {
        str(folder.relative_to(home / "reports"))
        for folder in (home / "reports" / "runs" / "faces" / "student").glob("*softlabel*")
    }


def planned(home: Path) -> set[str]:
    """Return the runs that a dry run lists."""
    code, said, called = snakemake(home, "--dry-run")
    assert code == 0 and not called, said
    return {
        f"runs/{name}" if "/" in name else name
        for name in re.findall(r"^Job \d+: (?:report of )?(\S+)", said, re.MULTILINE)
    }


def check(home: Path, expected: set[str]) -> None:
    """Check that one call of Snakemake runs exactly these: those that a test before left over would
    be among them, and the last test finds none."""
    code, said, called = snakemake(home)
    assert code == 0 and called == expected, said


@contextmanager
def put_back(file: Path):
    """Let a file be changed for a while."""
    text, times = file.read_text(), file.stat()
    try:
        yield file
    finally:
        file.write_text(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def change(file: Path, **sections: dict) -> None:
    """Lay parameters over those of a dataset's file."""
    values = yaml.safe_load(file.read_text())
    file.write_text(
        yaml.safe_dump(
            {**values, **{name: {**values[name], **over} for name, over in sections.items()}}
        )
    )


def append(file: Path, text: str) -> None:
    file.write_text(file.read_text() + text)


def test_another_teacher_makes_its_distilled_students_out_of_date_and_no_other(home):
    with put_back(home / "params" / "faces.yaml") as file:
        change(file, training={"teacher_epochs": 75}, model={"teacher_width": 0.7})
        assert (
            planned(home)
            == runs("teacher", "faces") | runs("student", "faces", alpha="0.50") | REPORT
        )


def test_a_run_by_hand_with_other_parameters_is_out_of_date_when_they_are_put_back(home):
    """Snakemake's own record of it is that of the run before."""
    student = home / "reports" / min(runs("student", "faces", alpha="0.50"))
    result = student / "result.json"
    with put_back(result), put_back(home / "params" / "faces.yaml") as file:
        change(file, training={"teacher_epochs": 75})
        assert planned(home)
        told = json.loads(result.read_text())
        told["settings"]["training"]["epochs"] += 5
        result.write_text(json.dumps(told))
    with put_back(result):
        result.write_text(json.dumps(told))
        assert planned(home) == {str(student.relative_to(home / "reports"))} | REPORT
    # neither the other parameters nor the plan for them have left anything
    assert planned(home) == set()


def test_another_suite_file_makes_the_report_out_of_date(home):
    grids = home / "params" / "grids"
    (grids / "more.yaml").write_text("title: more\nruns: []\n")
    suite = yaml.safe_load((grids / "two.yaml").read_text())
    with put_back(grids / "two.yaml") as file:
        file.write_text(yaml.safe_dump({**suite, "include": ["more"]}))
        check(home, REPORT)
        append(grids / "more.yaml", "# other words\n")
        check(home, REPORT)
    check(home, REPORT)  # a suite less
    assert planned(home) == set()


def test_another_trial_list_makes_those_who_hear_it_out_of_date(home):
    with put_back(home / "tree" / "veri_test.txt") as file:
        file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
        assert planned(home) == runs("data", "voices") | runs("student", "voices") | REPORT


def test_other_code_of_networks_makes_the_runs_behind_it_out_of_date(home):
    with put_back(home / "kdlib" / "models" / "vgg.py") as file:
        append(file, "\nOTHER = 1\n")
        networks = runs("teacher", *DATASETS) | runs("student", *DATASETS)
        assert planned(home) == networks | smoothed(home) | REPORT


def test_other_code_of_metrics_makes_the_runs_that_it_scores_out_of_date(home):
    """Those of the data too, which hold the linear baseline."""
    append(home / "kdlib" / "metrics.py", "\nOTHER = 1\n")
    every = {run for stage in ("data", "teacher", "student") for run in runs(stage, *DATASETS)}
    check(home, every | smoothed(home) | REPORT)


def test_other_folds_make_every_run_of_the_dataset_out_of_date(home):
    """The data run too, which holds the linear baseline of each fold."""
    every = {run for stage in ("data", "teacher", "student") for run in runs(stage, "faces")}
    with put_back(home / "params" / "faces.yaml") as file:
        change(file, corpus={"groups": 4})
        assert planned(home) == every | smoothed(home) | REPORT


def test_the_linear_baseline_makes_nothing_but_the_data_runs_out_of_date(home):
    with put_back(home / "kdsuite" / "runs" / "baseline.py") as file:
        append(file, "\nOTHER = 1\n")
        assert planned(home) == runs("data", *DATASETS) | REPORT


def test_other_code_of_the_teacher_leaves_undistilled_students_alone(home):
    of_teachers = runs("teacher", *DATASETS) | runs("student", *DATASETS, alpha="0.50")
    with put_back(home / "kdlib" / "teacher.py") as file:
        append(file, "\nOTHER = 1\n")
        assert planned(home) == of_teachers | smoothed(home) | REPORT


def test_a_corpus_that_is_away_for_now_makes_nothing_out_of_date(home):
    (home / "tree").rename(home / "away")
    assert planned(home) == set()
    (home / "away").rename(home / "tree")


def test_a_removed_result_is_made_again_with_those_behind_it(home):
    removed = runs("teacher", "faces") | runs("student", "voices", alpha="0.00")
    for run in removed:
        (home / "reports" / run / "result.json").unlink()
    check(home, removed | runs("student", "faces", alpha="0.50") | REPORT)


def test_results_that_snakemake_does_not_remember_are_judged_by_what_they_tell(home):
    """So are those that were made elsewhere and copied here."""
    shutil.rmtree(home / ".snakemake")
    assert planned(home) == set()
    append(home / "kdsuite" / "data" / "verification.py", "\nELSEWHERE = 1\n")
    check(home, runs("data", *DATASETS) | runs("student", *DATASETS) | smoothed(home) | REPORT)


def test_a_comment_a_figure_and_a_run_by_hand_retrain_nothing(home):
    append(home / "kdlib" / "training.py", "# so\n")
    append(home / "kdsuite" / "analysis" / "scheme.py", "\nOTHER = 1\n")
    append(home / "params" / "faces.yaml", "# so\n")
    assert planned(home) == set()
    for run in runs("data", "faces") | runs("teacher", "faces"):
        append(home / "reports" / run / "result.json", "\n")
    assert planned(home) == REPORT
    check(home, REPORT)
    assert planned(home) == set()
