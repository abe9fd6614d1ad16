"""The same Snakefile on a SLURM cluster: runs as an array of jobs, folds spread over them, and the
numbers of a local run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdsuite import paths
from tests.runs import slurm

PROFILE = paths.ROOT / "params" / "profiles" / "slurm"
QUICK = {
    "corpus": {
        "synthetic": {"actors": 2, "takes": 7, "actors_without_song": [1, 2]},
        "path": "tiny",
        "groups": 2,
    },
    "training": {"epochs": 1, "teacher_epochs": 1, "cycle": 0.5, "device": "cpu"},
}
SUITE = {
    "title": "two folds, and a teacher",
    "runs": [
        {"dataset": "tiny", "backbone": "vgg", "alpha": 0, "folds": ["all", 0, 1]},
        {"dataset": "tiny", "backbone": "vgg", "alpha": 0.5},
    ],
}
STUDENT, DISTILLED = "vgg-nonseq-embedding-a0.00-s0", "vgg-nonseq-embedding-a0.50-s0"
# there is no network file system to wait for, and small jobs are soon done
HASTE = [
    "--latency-wait",
    "5",
    "--slurm-init-seconds-before-status-checks",
    "4",
    "--seconds-between-status-checks",
    "4",
]
TABLE = """
from kdsuite.analysis import results
from kdsuite.runs import grid
print(results.collect([run for run in grid.runs("tiny") if run.key in ("vgg-nonseq-s0", "vgg-nonseq-embedding-a0.50-s0")]).to_csv(index=False))
"""


def places_of(home: Path, reports: str, data: str = "data") -> dict[str, str]:
    """Return the environment in which the tiny suite and what it leaves are found."""
    return {
        name: str(home / folder)
        for name, folder in {
            "KDLIB_PARAMS": "params",
            "KDLIB_DATA": data,
            "KDLIB_REPORTS": reports,
        }.items()
    }


def snakemake(
    home: Path,
    reports: str,
    students: list[str],
    *arguments: str,
    data: str = "data",
    **environment: str,
) -> str:
    """Run students of the tiny suite; return what Snakemake said."""
    environment = {**os.environ, **environment, **places_of(home, reports, data)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    files = [
        home / reports / "runs" / "tiny" / "student" / student / "result.json"
        for student in students
    ]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        paths.ROOT / "Snakefile",
        "--directory",
        home / reports,
    ]
    command += [
        "--config",
        "suite=tiny",
        "--set-threads",
        "data=1",
        "teacher=1",
        "student=1",
        *arguments,
        "--",
        *files,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The suite run on this machine."""
    home = tmp_path_factory.mktemp("cluster")
    dataset = yaml.safe_load((paths.ROOT / "params" / "demo-ravdess.yaml").read_text())
    for section, values in QUICK.items():
        for name, value in values.items():
            dataset[section][name] = (
                {**dataset[section][name], **value} if isinstance(value, dict) else value
            )
    (home / "params" / "grids").mkdir(parents=True)
    (home / "params" / "tiny.yaml").write_text(yaml.safe_dump(dataset))
    (home / "params" / "grids" / "tiny.yaml").write_text(yaml.safe_dump(SUITE))
    (home / "here").mkdir()
    snakemake(home, "here", [STUDENT], "--cores", "1")
    return home


def results_csv(home: Path, reports: str) -> str:
    """Return what results.csv has of the teacher and the distilled student."""
    told = [sys.executable, "-c", TABLE]
    return subprocess.run(
        told,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **places_of(home, reports)},
    ).stdout


def results(home: Path, reports: str) -> list[dict]:
    files = sorted((home / reports / "runs" / "tiny" / "student").glob("*/result.json"))
    return [json.loads(file.read_text()) for file in files]


@pytest.mark.slow
@pytest.mark.skipif(slurm.lacking() is not None, reason=slurm.lacking() or "")
def test_folds_spread_over_the_jobs_of_a_cluster_have_the_numbers_of_one_local_run(local):
    # the data run is there already: a cluster is asked for the state of its jobs so seldom that
    # each stage costs half a minute
    shutil.copytree(
        local / "here" / "runs" / "tiny" / "data", local / "there" / "runs" / "tiny" / "data"
    )
    with slurm.cluster() as environment:
        said = snakemake(
            local,
            "there",
            [f"{STUDENT}-f0", f"{STUDENT}-f1"],
            "--profile",
            str(PROFILE),
            *HASTE,
            **environment,
        )
    assert "Submitted array job" in said
    (here,), there = results(local, "here"), results(local, "there")
    assert [fold for result in there for fold in result["folds"]] == here["folds"] and len(
        here["folds"]
    ) == 2
    assert {**there[0]["settings"], "folds": "all"} == here["settings"]


@pytest.mark.long
@pytest.mark.skipif(slurm.lacking() is not None, reason=slurm.lacking() or "")
def test_the_grid_on_a_cluster_has_the_results_of_the_grid_on_one_machine(local):
    snakemake(local, "here", [DISTILLED], "--cores", "1")
    with (
        slurm.cluster() as environment
    ):  # with data of its own, so that nothing was decoded or trained before
        said = snakemake(
            local,
            "grid",
            [DISTILLED],
            "--profile",
            str(PROFILE),
            *HASTE,
            data="data-of-grid",
            **environment,
        )
    assert said.count("SLURM jobid") >= 3
    stages = {
        path.parent.parent.name
        for path in (local / "grid" / "runs" / "tiny").glob("*/*/result.json")
    }
    table = results_csv(local, "grid")
    assert (
        stages == {"data", "teacher", "student"}
        and table.count("\n") > 8
        and table == results_csv(local, "here")
    )
