"""What whole commands take beside their training: one run of a teacher and of a student, and a
suite in which nothing is left to do.

The store and the teacher of the run are there already, so that the command's processor time, less
the seconds that its ``result.json`` says were training, is interpreter, kernel, imports, pictures
and files.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import yaml

from benchmarks import report, timing
from kdsuite import paths
from kdsuite.app.command_line import SNAKEMAKE

PAPERMILL = "papermill", "--engine", "kdlib", "--no-progress-bar"
# processor seconds of a run beside its training
GOALS = {"teacher": 4.0, "student": 3.8}
IMPORTS = "from kdsuite.analysis import figures\nfrom kdsuite.runs import stages"
ALONE = {
    "papermill and a kernel": "pass",
    "the same and torch": "import torch",
    "the same and all imports": IMPORTS,
}
FLAGS = ["--quiet", "all", *SNAKEMAKE.split()]


def run(*command: Any, folder: Path, threads: str = "1") -> dict[str, float]:
    """Return ``wall`` and ``cpu`` seconds of a command that leaves what it makes in ``folder``;
    raise RuntimeError where it fails.

    ``threads`` is $OMP_NUM_THREADS; where it is empty the suite chooses.
    """
    bin = Path(sys.executable).parent
    set_to = {f"KDLIB_{name.upper()}": str(folder / name) for name in ("data", "reports", "params")}
    environment = {**os.environ, **set_to, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    environment["OMP_NUM_THREADS"] = threads
    if not threads:
        del environment["OMP_NUM_THREADS"]
    began, before = timing.now(), _processor()
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
    return {"wall": timing.now() - began, "cpu": _processor() - before}


def _processor() -> float:
    """Return the processor seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def training_run(stage: str, folder: Path, threads: str = "1") -> dict[str, float]:
    """Return the seconds of one run, and those of the training in it."""
    name = {"teacher": "02_teacher", "student": "03_student"}[stage]
    notebook = paths.ROOT / "notebooks" / f"{name}.ipynb"
    command = *PAPERMILL, notebook, folder / "out.ipynb", "-p", "backbone", "vgg"
    taken = run(*command, folder=folder, threads=threads)
    (result,) = folder.glob(f"reports/runs/demo-ravdess/{stage}/*/result.json")
    # a teacher that is there already is not trained again
    training = json.loads(result.read_text())["seconds"]["device"] * (stage == "student")
    return {**taken, "training": training, "beside": taken["cpu"] - training}


def kernel(source: str, folder: Path) -> dict[str, float]:
    """Return the seconds of a notebook of one cell."""
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    file = folder / "line.ipynb"
    nbformat.write(notebook, file)
    return run(*PAPERMILL, file, folder / "line-out.ipynb", folder=folder)


def beside_a_busy_process(folder: Path, rounds: int) -> float:
    """Return the ratio of a student's wall time with the threads that the suite chooses to that
    with one, while as many processes are busy as there are cores, less one."""
    code = "while True: pass"
    busy = [
        subprocess.Popen([sys.executable, "-c", code])
        for _ in range(max(1, len(os.sched_getaffinity(0)) - 1))
    ]
    try:
        ratios = [
            training_run("student", folder, "")["wall"] / training_run("student", folder)["wall"]
            for _ in range(rounds)
        ]
    finally:
        for process in busy:
            process.kill()
    return timing.spread(ratios)["ratio"]


def measure(quick: bool) -> dict[str, Any]:
    """Return the share of a run that is not training, and the time of a suite with nothing to
    do."""
    with tempfile.TemporaryDirectory(prefix="kdlib-commands-") as place:
        folder = Path(place)
        shutil.copytree(paths.PARAMS, folder / "params")
        values = yaml.safe_load((paths.PARAMS / "demo-ravdess.yaml").read_text())
        values["corpus"]["synthetic"] |= {"actors": 4, "actors_without_song": []}
        values["training"] |= {"epochs": 1, "teacher_epochs": 1, "cycle": 0.5}
        (folder / "params" / "demo-ravdess.yaml").write_text(yaml.safe_dump(values))
        runs = [{"dataset": "demo-ravdess", "backbone": "vgg", "alpha": [0, 0.5]}]
        suite = folder / "params" / "grids" / "one.yaml"
        suite.write_text(yaml.safe_dump({"title": "one", "runs": runs}))
        training_run("student", folder)  # makes corpus, store and teacher, and fills the caches
        rounds = [
            {stage: training_run(stage, folder) for stage in GOALS}
            | {what: kernel(source, folder) for what, source in ALONE.items()}
            for _ in range(1 if quick else 5)
        ]
        busy = beside_a_busy_process(folder, 1 if quick else 5)
        command = ("snakemake", *FLAGS, "--config", "suite=one")
        run(*command, folder=folder)
        again = [run(*command, folder=folder) for _ in range(1 if quick else 3)]

    def middle(name, rows, what):
        return timing.spread([row[what][name] for row in rows])["ratio"]

    of_runs = [
        report.goal(
            f"CPU seconds of a {stage} run beside its training",
            middle("beside", rounds, stage),
            "≤",
            goal,
            "s",
        )
        for stage, goal in GOALS.items()
    ]
    walls = [
        report.goal(
            f"a {stage} run, from the command to its end", middle("wall", rounds, stage), unit="s"
        )
        for stage in GOALS
    ]
    parts = [
        report.goal(f"of that, CPU seconds of {what}", middle("cpu", rounds, what), unit="s")
        for what in ALONE
    ]
    idle = timing.spread([each["wall"] for each in again])["ratio"]
    return {
        "goals": [
            *of_runs,
            *parts,
            *walls,
            report.goal(
                "a student beside busy processes, threads as chosen to one thread", busy, "≤", 1.3
            ),
            report.goal("a suite in which nothing is to be done", idle, "≤", 4, "s"),
        ],
        "rows": [
            {
                f"{what}, {kind}": round(seconds, 2)
                for what, taken in each.items()
                for kind, seconds in taken.items()
            }
            for each in rounds
        ],
        "notes": ["whole commands, one after the other; planning thousands of runs is in `scale`."],
        "not_measured": [],
    }


if __name__ == "__main__":
    report.main("commands", measure)
