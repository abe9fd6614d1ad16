"""A suite as Snakemake drives it: what one broken run leaves, and what a repeat runs.

Trainings are stubs in the place of papermill; the broken run and the analysis are real.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from kdsuite import paths
from kdsuite.app.command_line import SNAKEMAKE

BIN = Path(sys.executable).parent
STUB = f"""#!/bin/sh
# papermill --engine kdlib --no-progress-bar NOTEBOOK OUTPUT -y GIVEN
folder=$(dirname "$5")
echo "$folder" >> "$CALLS"
case "$REAL$folder" in yes*/broken/*|yes*/two) exec "{BIN}/papermill" "$@";; esac
echo '{{"folds": [{{"fold": 0, "uar": 0.5, "recordings": 9}}], "seconds": {{"wall": 60}}}}' > "$folder/result.json"
: > "$folder/index.html"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of the suite with two datasets, of which ``broken`` has no recordings."""
    home = tmp_path_factory.mktemp("suite")
    for name in ("kdlib", "kdsuite", "notebooks", "params"):
        shutil.copytree(
            paths.ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for question in {*(home / "notebooks" / "questions").glob("*.ipynb")}:
        if question.stem != "results":  # a kernel each
            question.unlink()
    shutil.copy(paths.ROOT / "Snakefile", home)
    usual = yaml.safe_load((paths.ROOT / "params" / "demo-ravdess.yaml").read_text())
    for name in ("whole", "broken"):
        corpus = {**usual["corpus"], "path": "nowhere", "synthetic": None}
        (home / "params" / f"{name}.yaml").write_text(
            yaml.safe_dump({**usual, "dataset": name, "corpus": corpus})
        )
    runs = [{"dataset": ["whole", "broken"], "backbone": "vgg", "alpha": [0, 0.5]}]
    (home / "params" / "grids" / "two.yaml").write_text(
        yaml.safe_dump({"title": "two", "runs": runs})
    )
    (home / "bin").mkdir()
    (home / "bin" / "papermill").write_text(STUB)
    (home / "bin" / "papermill").chmod(0o755)
    return home


def snakemake(home: Path, *arguments: str, real: str = "no") -> tuple[int, str, set[str]]:
    """Drive the suite; return the exit code, what was said, and for which runs papermill was
    called."""
    environment = {
        name: str(home / place)
        for name, place in {
            "KDLIB_DATA": "data",
            "KDLIB_REPORTS": "reports",
            "CALLS": "calls",
        }.items()
    }
    environment |= {
        "PYTHONPATH": str(home),
        "PATH": os.pathsep.join([str(home / "bin"), str(BIN), os.environ["PATH"]]),
        "REAL": real,
    }
    (home / "calls").write_text("")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        *SNAKEMAKE.split(),
        "--cores",
        "1",
    ]
    done = subprocess.run(
        [*command, "--config", "suite=two", *arguments],
        cwd=home, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    called = {
        str(Path(line).relative_to(home / "reports"))
        for line in (home / "calls").read_text().splitlines()
    }
    return done.returncode, done.stdout + done.stderr, called


def test_a_broken_run_stops_no_other_and_a_repeat_runs_what_is_missing(home):
    students = ["vgg-nonseq-embedding-a0.00-s0", "vgg-nonseq-embedding-a0.50-s0"]

    def runs(dataset: str, *stages: str) -> set[str]:
        keys = {"data": ["all"], "teacher": ["vgg-nonseq-s0"], "student": students}
        return {f"{dataset}/{stage}/{key}" for stage in stages for key in keys[stage]}

    code, said, called = snakemake(home, real="yes")
    assert code == 1
    assert called == {
        f"runs/{run}" for run in runs("whole", "data", "teacher", "student") | {"broken/data/all"}
    } | {"two"}
    assert "4 of 8 runs are done, 1 failed, 3 were not begun" in said
    listed = said[said.index("1 failed") :]
    assert (
        "broken/data/all: InvalidCorpus: the ravdess corpus" in listed
        and "runs/broken/data/all/notebook.ipynb" in listed
    )
    site = home / "reports" / "two"
    states = [
        (row.th.text, row.td.text)
        for row in BeautifulSoup((site / "runs.html").read_text(), "html.parser").select("tbody tr")
    ]
    assert ("Data: broken", "failed") in states
    assert sorted(state for _, state in states) == ["done"] * 4 + ["failed"] + ["missing"] * 3
    assert "4 of 8 runs have no result, 1 of them failed" in (site / "index.html").read_text()
    assert "does not exist" in (site / "pages" / "broken-data-all.html").read_text()

    code, said, called = snakemake(home)
    assert code == 0, said
    lines = [line for line in said.splitlines() if " runs left" in line]
    assert lines[0] == "broken/data/all: UAR 50.0 %, 60 s; 3 of 8 runs left, about 0:03:00"
    name = f"broken/student/{students[0]}: "
    (line,) = [line for line in lines if line.startswith(name)]
    # the order of teacher and undistilled student is Snakemake's
    score = re.escape("UAR 50.0 % (linear baseline 50.0 %), 60 s; ")
    left = r"(0 of 8 runs left|([12]) of 8 runs left, about 0:0\2:00)"
    assert re.fullmatch(score + left, line.removeprefix(name)), lines
    # no line of Snakemake's own about a job
    assert "rule " not in said and "jobid" not in said
    assert called == {f"runs/{run}" for run in runs("broken", "data", "teacher", "student")} | {
        "two"
    }, said


def test_the_lock_of_a_killed_snakemake_is_free_and_that_of_a_living_one_is_not(home):
    locks = home / ".snakemake" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    (locks / "0.output.lock").write_text(f"{home}/reports/two/index.html\n")
    with open(home / ".snakemake" / "alive", "a+") as alive:
        fcntl.flock(alive, fcntl.LOCK_SH)
        code, said, _ = snakemake(home)
        assert code == 1 and "LockException" in said
    code, said, _ = snakemake(home)
    assert code == 0, said
