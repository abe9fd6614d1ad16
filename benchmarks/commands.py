"""What whole commands take beside their training: one student run, and a suite in which nothing is
left to do.

The store and the teacher of the run are there already, so that the command's wall time, less the
seconds that its ``result.json`` says were training, is interpreter, kernel, imports, pictures and
files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks import report, timing
from kdsuite import paths

ALONE = {"papermill and a kernel": "pass", "the same and torch": "import torch"}
FLAGS = ["--cores", "all", "--rerun-triggers", "mtime", "input", "params", "--quiet", "all"]


def run(*command: Any, folder: Path) -> float:
    """Return the wall seconds of a command that leaves what it makes in ``folder``; raise
    RuntimeError where it fails."""
    bin = Path(sys.executable).parent
    set_to = {f"KDLIB_{name.upper()}": str(folder / name) for name in ("data", "reports", "params")}
    environment = {**os.environ, **set_to, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    began = timing.now()
    done = subprocess.run(
        [*map(str, command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=paths.ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {done.stderr[-2000:]}")
    return timing.now() - began


def student(folder: Path) -> dict[str, float]:
    """Return the seconds of one student run, and those of the training in it."""
    notebook = paths.ROOT / "notebooks" / "03_student.ipynb"
    command = (
        "papermill",
        "--engine",
        "kdlib",
        "--no-progress-bar",
        notebook,
        folder / "out.ipynb",
        "-p",
        "backbone",
        "vgg",
    )
    wall = run(*command, folder=folder)
    (result,) = folder.glob(
        "reports/runs/demo-ravdess/student/vgg-nonseq-embedding-a0.50-s0/result.json"
    )
    return {"wall": wall, "training": json.loads(result.read_text())["seconds"]["device"]}


def kernel(folder: Path, source: str) -> float:
    """Return the seconds of a notebook of one line."""
    cell = {
        "cell_type": "code",
        "id": "line",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    spec = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    file = folder / "line.ipynb"
    file.write_text(
        json.dumps({"cells": [cell], "metadata": spec, "nbformat": 4, "nbformat_minor": 5})
    )
    return run(
        "papermill",
        "--engine",
        "kdlib",
        "--no-progress-bar",
        file,
        folder / "line-out.ipynb",
        folder=folder,
    )


def measure(quick: bool) -> dict[str, Any]:
    """Return the share of a student run that is not training, and the time of a suite with nothing
    to do."""
    with tempfile.TemporaryDirectory(prefix="kdlib-commands-") as place:
        folder = Path(place)
        shutil.copytree(paths.PARAMS, folder / "params")
        values = yaml.safe_load((paths.PARAMS / "demo-ravdess.yaml").read_text())
        values["corpus"]["synthetic"] |= {"actors": 4, "actors_without_song": []}
        values["training"] |= {"epochs": 1, "teacher_epochs": 1, "cycle": 0.5}
        (folder / "params" / "demo-ravdess.yaml").write_text(yaml.safe_dump(values))
        suite = {
            "title": "one",
            "runs": [{"dataset": "demo-ravdess", "backbone": "vgg", "alpha": [0, 0.5]}],
        }
        (folder / "params" / "grids" / "one.yaml").write_text(yaml.safe_dump(suite))
        student(folder)  # makes corpus, store and teacher, and fills the caches
        rounds = [
            {**student(folder), **{what: kernel(folder, source) for what, source in ALONE.items()}}
            for _ in range(1 if quick else 5)
        ]
        command = ("snakemake", *FLAGS, "--config", "suite=one")
        run(*command, folder=folder)
        again = [run(*command, folder=folder) for _ in range(1 if quick else 3)]
    rest = timing.spread([each["wall"] - each["training"] for each in rounds])["ratio"]
    return {
        "goals": [
            report.goal(
                "a student run, from the command to its end, without its training",
                rest,
                "≤",
                5,
                "s",
            ),
            *(
                report.goal(
                    f"of that, {what}",
                    timing.spread([each[what] for each in rounds])["ratio"],
                    unit="s",
                )
                for what in ALONE
            ),
            report.goal(
                "a suite in which nothing is to be done", timing.spread(again)["ratio"], unit="s"
            ),
        ],
        "rows": [{what: round(seconds, 2) for what, seconds in each.items()} for each in rounds],
        "notes": ["whole commands, one after the other; planning thousands of runs is in `scale`."],
        "not_measured": [],
    }


if __name__ == "__main__":
    report.main("commands", measure)
