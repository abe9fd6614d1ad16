"""Suites as lists of runs: multiplied out, each run once, each under its own name, and driven by
Snakemake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from kdlib.errors import InvalidParameter
from kdsuite import paths
from kdsuite.runs import grid
from kdsuite.settings import load


@pytest.mark.parametrize(
    "dataset,swept",
    [("demo-ravdess", (0.25, 0.5, 1)), ("demo-voxceleb1", (0.5, 1)), ("demo-iemocap", (0.5, 1))],
)
def test_the_demo_has_the_runs_of_the_paper(dataset, swept):
    every = [run for run in grid.runs("demo") if run.settings.dataset == dataset]
    runs = [run for run in every if run.settings.seed == 0]
    again = {run.key for run in every if run.stage == "student"} - {run.key for run in runs}
    seeds = {
        f"vgg-nonseq-embedding-a{alpha}-s{seed}" for alpha in ("0.00", "0.50") for seed in (1, 2)
    }
    assert again == (seeds if dataset == "demo-voxceleb1" else set())
    backbones, methods = ("vgg", "resnet", "seresnet"), ("embedding", "softlabel", "multitask")
    # undistilled: three backbones, with and without sequence (em and agg are then the same network)
    undistilled = {
        f"{backbone}-{setting}-embedding-a0.00-s0"
        for backbone in backbones
        for setting in ("nonseq", "em")
    }
    distilled = {
        f"{backbone}-{setting}-embedding-a0.50-s0"
        for backbone in backbones
        for setting in ("nonseq", "em", "agg")
    }
    over_alpha = {f"vgg-nonseq-{method}-a{alpha:.2f}-s0" for method in methods for alpha in swept}
    over_alpha |= {"vgg-nonseq-embedding-a0.75-s0"} if dataset == "demo-ravdess" else set()
    assert {
        run.key for run in runs if run.stage == "student"
    } == undistilled | distilled | over_alpha
    assert sorted(run.key for run in runs if run.stage == "teacher") == sorted(
        f"{backbone}-{setting}-s0" for backbone in backbones for setting in ("nonseq", "sequential")
    )
    assert [run.key for run in runs if run.stage == "data"] == ["all"]


def test_an_undistilled_student_needs_no_teacher():
    assert grid.needed(load(alpha=0)) == ["data", "student"] and grid.needed(load(alpha=0.1)) == [
        "data",
        "teacher",
        "student",
    ]


def test_what_papermill_is_told_makes_the_same_settings():
    for run in grid.runs("demo"):
        if run.stage == "student":
            assert load(**json.loads(json.dumps(run.given))) == run.settings


@pytest.mark.parametrize(
    "given,key",
    [
        ({"alpha": 0.25, "setting": "agg", "seed": 3}, "seresnet-agg-embedding-a0.25-s3"),
        ({"folds": 3}, "seresnet-nonseq-embedding-a0.50-s0-f3"),
        ({"folds": "0, 2"}, "seresnet-nonseq-embedding-a0.50-s0-f0_2"),
        ({"alpha": 0, "method": "softlabel", "setting": "agg"}, "seresnet-em-embedding-a0.00-s0"),
        ({"alpha": 0.125}, "seresnet-nonseq-embedding-a0.125-s0"),
    ],
)
def test_names_of_runs(given, key):
    assert grid.Run("student", load(**given)).key == key


def test_overlaid_sections_have_a_name_of_their_own():
    plain, short, long = (
        grid.Run("student", load(training={"epochs": epochs})).key
        for epochs in (load().training.epochs, 5, 95)
    )
    assert plain == "seresnet-nonseq-embedding-a0.50-s0"
    assert short.startswith(plain + "-x") and long.startswith(plain + "-x") and short != long


def test_unknown_suite():
    with pytest.raises(InvalidParameter, match="unknown suite 'dem'; did you mean 'demo'"):
        grid.runs("dem")


def snakemake(*arguments, **environment):
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        paths.ROOT / "Snakefile",
        "--directory",
        paths.ROOT,
        "--nolock",
        "--cores",
        "2",
        *arguments,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def test_snakemake_plans_every_run(tmp_path):
    planned = snakemake(
        "--dry-run", KDLIB_REPORTS=str(tmp_path / "reports"), KDLIB_DATA=str(tmp_path / "data")
    )
    assert planned.returncode == 0, planned.stderr
    counts = dict(
        line.split()
        for line in planned.stdout.splitlines()
        if line.startswith(tuple(f"{stage} " for stage in grid.STAGES))
    )
    assert {stage: int(count) for stage, count in counts.items()} == Counter(
        run.stage for run in grid.runs("demo")
    )


def test_snakemake_names_an_unknown_suite():
    refused = snakemake("--dry-run", "--config", "suite=dem")
    assert refused.returncode != 0 and "did you mean 'demo'" in refused.stderr + refused.stdout


def test_what_only_students_know_makes_no_other_teacher():
    plain, control, other = (
        load(
            training={"targets": "shuffled"} if of else {},
            **({"media": {"frame_size": 48}} if of == 2 else {}),
        )
        for of in range(3)
    )
    assert (
        grid.Run("teacher", plain).key
        == grid.Run("teacher", control).key
        != grid.Run("teacher", other).key
    )
    assert grid.Run("student", plain).key != grid.Run("student", control).key
    assert (
        grid.Run("data", plain).key == grid.Run("data", control).key != grid.Run("data", other).key
    )
    assert grid.needed(load(training={"targets": "audio"})) == ["data", "student"]


def test_the_first_notebook_is_told_of_the_folds_it_checks():
    split, other = (load(corpus=corpus) for corpus in ({}, {"groups": 4}))
    assert (
        grid.Run("data", split).key != grid.Run("data", other).key
        and grid.Run("data", split).key == "all"
    )


def test_a_result_of_other_parameters_is_outdated(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    settings = load(backbone="vgg")
    run = grid.Run("student", settings)
    assert run.state == "missing"
    kept = settings.canonical().model_dump(mode="json")

    def state(**training):
        paths.write_json(
            run.folder / "result.json",
            {"settings": {**kept, "training": {**kept["training"], **training}}},
        )
        return run.state

    assert (
        state() == "done"
        and state(device="cpu") == "done"
        and state(epochs=3) == "outdated"
        and state(gone=1) == "outdated"
    )
    # a parameter that the result does not know yet has its default
    paths.write_json(
        run.folder / "result.json",
        {"settings": {**kept, "media": {k: v for k, v in kept["media"].items() if k != "crop"}}},
    )
    assert run.state == ("done" if settings.media.crop == 1.0 else "outdated")
    (run.folder / "result.json").unlink()
    (run.folder / "notebook.ipynb").write_text("{}")
    assert run.state == "failed" and not run.done


def test_a_result_of_other_recordings_or_trials_than_the_data_run_found_is_outdated(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "REPORTS", tmp_path)
    settings = load(backbone="vgg")
    data, teacher, student = (grid.Run(stage, settings) for stage in grid.STAGES)

    def leave(run, **provenance):
        paths.write_json(
            run.folder / "result.json",
            {"settings": settings.model_dump(mode="json"), "provenance": provenance},
        )

    leave(data, store="a", trials="b")
    leave(teacher, store="a", trials="")
    leave(student, store="a", trials="b")
    assert [run.state for run in (data, teacher, student)] == ["done"] * 3
    leave(data, store="a", trials="c")
    assert [run.state for run in (data, teacher, student)] == ["done", "done", "outdated"]
    leave(data, store="c", trials="b")
    assert [run.state for run in (data, teacher, student)] == ["done", "outdated", "outdated"]
    leave(student)  # of a time when nothing was told
    assert student.state == "done"
