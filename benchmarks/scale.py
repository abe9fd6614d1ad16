"""What thousands of runs cost beside their training: planning, Snakemake, collecting the results, the site.

    python benchmarks/scale.py [SEEDS]

The paper's grid is nine networks over alpha in steps of a tenth, both baselines on three of them, each fold a job of its own; the large one
has SEEDS seeds, else eleven: more than 50,000 runs. Both live in a temporary folder, of half a gigabyte. Trainings are stubs: a shell script in the place of
papermill drives the paper's grid, and results of the usual size are written for the large one. Nothing else should run beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDS = {"ravdess": 24, "iemocap": 5, "voxceleb1": 1}
ALPHAS = [tenth / 10 for tenth in range(11)]
FLAGS = ["--keep-going", "--rerun-incomplete", "--rerun-triggers", "mtime", "input", "params", "--quiet", "all"]
STUB = """#!/bin/sh
# papermill --engine kdlib --no-progress-bar NOTEBOOK OUTPUT …
folder=$(dirname "$5")
echo '{}' > "$folder/result.json"
: > "$folder/index.html"
"""
PLAN = "from kdlib import grid; print(len(grid.runs({suite!r})))"


def suite(seeds: int) -> dict[str, Any]:
    """Return the grid as a file in ``params/grids`` has it."""
    runs = []
    for dataset, folds in FOLDS.items():
        base = {"dataset": dataset, "setting": ["nonseq", "em", "agg"], "folds": list(range(folds)), "seed": list(range(seeds))}
        runs.append({**base, "backbone": ["vgg", "resnet", "seresnet"], "alpha": ALPHAS})
        runs.append({**base, "backbone": "vgg", "method": ["softlabel", "multitask"], "alpha": ALPHAS[1:]})
    return {"title": f"The paper's grid, {seeds} seed(s)", "runs": runs}


def measured(what: str, *command: str | Path, **environment: str) -> dict[str, Any]:
    """Run a command; print and return its wall and CPU seconds, peak memory in MB and what it printed last."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{what} failed: {said}")
    wall, cpu, memory = time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{what}: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB", flush=True)
    return {"wall": round(wall, 2), "cpu": round(cpu, 2), "memory": round(memory), "said": said.strip().rpartition("\n")[2]}


def snakemake(name: str, home: Path, *arguments: str) -> list[str | Path]:
    """Return the arguments of Python that drive a suite."""
    return ["-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", home, "--config", f"suite={name}", *FLAGS, *arguments]


def leave_results(name: str) -> None:
    """Write results of the usual size for all runs of a suite."""
    from kdlib import grid

    provenance = {
        "commit": "0" * 40,
        "device": "stub",
        "finished": "2026-01-01T00:00:00+0000",
        "packages": {str(n): "1" for n in range(10)},
    }
    for run in grid.runs(name):
        fold = {"fold": int(run.settings.folds), "uar": 0.5, "accuracy": 0.5 + run.settings.alpha / 10, "recordings": 102}
        epoch = {"loss": 0.123456789012345, "rate": 0.0012345678901234, "seconds": 0.123456789012345, "agreement": 0.123456789012345}
        facts = {"settings": run.settings.model_dump(mode="json"), "provenance": provenance, "seconds": {"wall": 12.3}}
        if run.stage != "data":
            facts |= {"folds": [fold], "history": {"0": [{"epoch": number, **epoch} for number in range(1, 51)]}}
        run.folder.mkdir(parents=True)
        (run.folder / "result.json").write_text(json.dumps(facts, indent=1))


def collect(name: str) -> None:
    """Collect a suite's results and write its site; print the seconds of both as JSON."""
    from kdlib import grid, places, site, tables

    runs = grid.runs(name)
    began = time.monotonic()
    results = tables.collect(runs)
    found = [len(results), len(tables.missing(runs)), len(tables.states(runs)), len(tables.histories(runs))]
    collected = time.monotonic()
    site.build(name, runs, tables.comparisons(runs, results), results=results)
    pages = {file.name: file.stat().st_size for file in (places.REPORTS / name).glob("*.html")}
    print(
        json.dumps({"rows": found, "collect": collected - began, "site": time.monotonic() - collected, "largest_page": max(pages.values())})
    )


def main(seeds: int = 11, cores: int | None = None) -> dict[str, Any]:
    """Measure all; print a line for each part and, last, everything as JSON."""
    cores, found = cores or len(os.sched_getaffinity(0)), {}
    with tempfile.TemporaryDirectory(prefix="kdlib-scale-") as folder:
        home = Path(folder)
        shutil.copytree(ROOT / "params", home / "params")
        grids = {"paper": suite(1), "large": suite(seeds)}
        for name, described in grids.items():
            (home / "params" / "grids" / f"{name}.yaml").write_text(yaml.safe_dump(described))
        (home / "bin").mkdir()
        (home / "bin" / "papermill").write_text(STUB)
        (home / "bin" / "papermill").chmod(0o755)
        given = {"KDLIB_PARAMS": "params", "KDLIB_DATA": "data", "KDLIB_REPORTS": "reports"}
        environment = {name: str(home / place) for name, place in given.items()}
        environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        for name in grids:
            found[f"plan {name}"] = measured(f"plan the {name} grid", "-c", PLAN.format(suite=name), **environment)
            print(f"  {found[f'plan {name}']['said']} runs")
            found[f"dry run {name}"] = measured(f"dry run of the {name} grid", *snakemake(name, home, "--dry-run"), **environment)
        driven = measured("drive the paper's grid with stubs", *snakemake("paper", home, "--cores", str(cores)), **environment)
        driven["wall_a_run"] = driven["wall"] / int(found["plan paper"]["said"])
        print(f"  {1000 * driven['wall_a_run']:.1f} ms a run on {cores} core(s)")
        found["drive paper"] = driven
        found["again paper"] = measured("the same again, nothing to do", *snakemake("paper", home, "--cores", str(cores)), **environment)
        shutil.rmtree(home / "reports")
        measured("write the results of the large grid", __file__, "leave_results", "large", **environment)
        found["collect large"] = measured("collect them and write the site", __file__, "collect", "large", **environment)
        print(f"  {found['collect large']['said']}")
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        {"leave_results": leave_results, "collect": collect}[sys.argv[1]](sys.argv[2])
    else:
        main(*map(int, sys.argv[1:]))
